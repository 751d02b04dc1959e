import type { OperationName } from './operations.ts';

/**
 * The start is refused with these words, or all operations work but these, which end with that answer. `orElse`: with
 * which any may end, where it is a matter of chance.
 */
export type Expectation =
  | { readonly refused: string }
  | {
      readonly except: Readonly<Partial<Record<OperationName, string>>>;
      readonly orElse?: string;
    };

const NO_KEY_WRAP = { refused: 'lacks CKM_AES_KEY_WRAP_PAD (RFC 5649)' };
const ALL_WORK = { except: {} };

/** What the service does with each module today: `npm run test:modules` says where this no longer holds. */
export const EXPECTED = {
  cloudhsm: NO_KEY_WRAP,
  'device-error': ALL_WORK,
  // What is decrypted in vain looks like a wrong ciphertext.
  flaky: { except: {}, orElse: '400 BadParameter' },
  'kwp-only': NO_KEY_WRAP,
  'luna-fips': NO_KEY_WRAP,
  'luna-fips-16': NO_KEY_WRAP,
  'no-kwp': NO_KEY_WRAP,
  'no-locking': ALL_WORK,
  nss: { refused: 'CKR_ARGUMENTS_BAD' },
  'pkcs7-pad': { refused: 'CKR_DATA_LEN_RANGE' },
  'read-only-unwrap': { refused: 'CKR_DATA_LEN_RANGE' },
  slow: ALL_WORK,
  yubihsm: NO_KEY_WRAP,
  kryoptic: NO_KEY_WRAP,
  // Each C_GetFunctionList of p11-kit's proxy gives a module of its own, so that what one thread has initialised isn't
  // initialised in another, which makes RSA keys.
  'p11-kit-proxy': {
    except: {
      'RSA: RS256, PS256': '503 HsmUnavailable',
      'RSA: RSA-OAEP, RSA-OAEP-256': '503 HsmUnavailable',
    },
  },
  softokn: { refused: 'CKR_ARGUMENTS_BAD' },
  'tpm2-pkcs11': { refused: 'CKR_FUNCTION_NOT_SUPPORTED' },
} satisfies Record<string, Expectation>;

export type ModuleName = keyof typeof EXPECTED;
