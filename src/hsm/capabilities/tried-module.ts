import type { TokenFacts } from '../module/token-facts.ts';
import type { Capabilities } from './capabilities.ts';

/**
 * What one opening of a module has found out by trying, for others of the same start, in this process or another one: a trial
 * makes an RSA key, which takes longer than all else. Plain data. A later start, and an opening after the HSM was lost, try anew.
 */
export interface TriedModule {
  /** The module, its version and the token that were tried, and how. */
  readonly what: string;
  readonly capabilities: Capabilities;
}

interface Trial {
  readonly module: string;
  readonly keyWrapMechanism?: number | undefined;
}

export function triedModule(
  facts: TokenFacts,
  trial: Trial,
  capabilities: Capabilities,
): TriedModule {
  return { what: whatIsTried(facts, trial, capabilities.keeping), capabilities };
}

/** Undefined where it was something else that was tried. */
export function knownFrom(
  all: readonly TriedModule[],
  facts: TokenFacts,
  trial: Trial,
  keeping: Capabilities['keeping'],
): Capabilities | undefined {
  const wanted = whatIsTried(facts, trial, keeping);
  return all.find(({ what }) => what === wanted)?.capabilities;
}

function whatIsTried(
  { description, module: { token } }: TokenFacts,
  { module, keyWrapMechanism }: Trial,
  keeping: Capabilities['keeping'],
): string {
  const { model, serialNumber, firmwareVersion } = token;
  return JSON.stringify([
    ...[module, description, model, serialNumber, firmwareVersion, keeping],
    keyWrapMechanism ?? null,
  ]);
}
