import { withoutUndefined } from '../../core/without-undefined.ts';

/** What is needed to initialise a library. */
export interface LibraryOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  /** What the library wants to be told at C_Initialize, as NSS does. */
  readonly libraryParameters?: string;
}

export interface TokenOptions extends LibraryOptions {
  /** CKA label of the token; slots are told apart by it, since slot numbers move. */
  readonly tokenLabel: string;
  readonly pin: string;
  /** The number under which the module has RFC 5649; found by trying where absent. */
  readonly keyWrapMechanism?: number;
}

/** Plain data, for another thread or process. */
export function tokenOptionsOf(options: TokenOptions): TokenOptions {
  const { module, tokenLabel, pin, libraryParameters, keyWrapMechanism } = options;
  return {
    module,
    tokenLabel,
    pin,
    ...withoutUndefined({ libraryParameters, keyWrapMechanism }),
  };
}
