import type { Mechanics } from '../capabilities/capabilities.ts';
import type { KeyIdentity, KeySpec } from '../../core/keys/key.ts';
import type { ObjectIds } from '../../core/keys/objects/object-id.ts';
import type { SerializedError } from '../module/serialization.ts';
import type { GeneratedKey } from './key-generation.ts';
import type { Roots } from '../module/open-module.ts';
import type { TokenOptions } from '../module/token-options.ts';

/** What the process that makes keys is told: over a channel between two processes of one user, as workers are told the PIN. */
export type ToGenerator =
  | { readonly open: TokenOptions; readonly roots: Roots }
  | {
      readonly identity: KeyIdentity;
      readonly spec: KeySpec;
      readonly capabilities: Mechanics;
      readonly objects: ObjectIds | undefined;
      /** Another process has been told before, and has ended over it. */
      readonly isRepeated: boolean;
    };

/** What it answers, once each. Keys come as the pool keeps them: none is ever on this channel in the clear. */
export type FromGenerator =
  'open' | { readonly made: GeneratedKey } | { readonly failed: SerializedError };
