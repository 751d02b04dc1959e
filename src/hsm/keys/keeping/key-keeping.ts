import type { KeyIdentity } from '../../../core/keys/key.ts';
import type { ObjectIds } from '../../../core/keys/objects/object-id.ts';
import type { Attributes, Handle, ModuleSession, Template } from '../../module/calls.ts';
import type { SealingContext } from '../sealed-blob.ts';

/** What an object is for: `mac` is the companion secret of an AES key. */
type ObjectPart = 'private' | 'mac';

/**
 * How a pool keeps its keys: what becomes of the objects that a key is made as, and how it gets a handle again. The one place
 * where sealed and resident pools differ for the HSM.
 */
export interface KeyKeeping {
  /** @param objects the token objects that a resident key is to be */
  making(identity: KeyIdentity, objects: ObjectIds | undefined): KeyMaking;
  /**
   * The handle of a private or secret key.
   * @param template that it has where it becomes an object now
   * @param more of that template, which it has no names for
   */
  load(context: SealingContext, blob: Buffer, template: Template, more?: Attributes): Handle;
  /** Whether what `load` gives exists for that alone, and is destroyed when it isn't used any more. */
  readonly destroysLoaded: boolean;
}

/** One key that is being made. */
export interface KeyMaking {
  /** What says in a template where the object is, and whether it may leave. */
  attributes(part: ObjectPart): Template;
  /** The same of an object that an imported key is tried as, which may do more than the key will. */
  readonly trial: Template;
  /** Runs `use` with an object that has been made. It is destroyed where it isn't what is kept, or `use` throws. */
  withNew<T>(session: ModuleSession, object: Handle, use: () => T): T;
  /** What the pool stores of the object. */
  stored(context: SealingContext, object: Handle, part: ObjectPart): Buffer;
  /** The same of a key that has been tried as `object`. @param make makes it anew, as `attributes` says */
  storedAfterTrial(context: SealingContext, object: Handle, make: () => Handle): Buffer;
}
