import { deriveObjectId } from '../core/directory/external-object-id.ts';
import type { CliContext } from './cli-context.ts';

/** `strongroom object-id` */
export function printObjectId(
  { print }: CliContext,
  issuer: string,
  claim: string,
  kind: 'principal' | 'group',
): void {
  print(deriveObjectId(issuer, kind, claim));
}
