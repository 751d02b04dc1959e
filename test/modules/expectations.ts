import type { OperationName } from './operations.ts';

/**
 * The start is refused with these words, or all operations work but these, which end with that answer. `orElse`: with
 * which any may end, where it is a matter of chance.
 */
export type Expectation =
  | { readonly refused: string; readonly resident?: Expectation }
  | {
      readonly except: Readonly<Partial<Record<OperationName, string>>>;
      readonly orElse?: string;
    };

/** In words that name the module. */
const LACKS = '400 BadParameter';
/** In words that say it of the pool. */
const NOT_HERE = `${LACKS} that does not name the module`;
/** No mechanism of PKCS#11 3.2 signs μ. */
const NO_MU = { 'ML-DSA: external_mu': LACKS } as const;
const NO_ML_DSA = {
  'ML-DSA: made': NOT_HERE,
  'ML-DSA: imported': NOT_HERE,
  'ML-DSA: backup and restore': NOT_HERE,
  'ML-DSA: released': NOT_HERE,
  'ML-DSA: external_mu': NOT_HERE,
} as const;
const NO_PAIR_RELEASED = { 'RSA: released': LACKS, 'EC: released': LACKS } as const;
const NOT_RELEASED = { ...NO_PAIR_RELEASED, 'oct: released': LACKS } as const;
/** But ML-DSA, which SoftHSM 2.6.1 doesn't have. */
const ALL_WORK = { except: NO_ML_DSA };
/** And a private key's length can't be told from what RFC 5649 makes of it here, which rounds it up. */
const ROUNDED = { except: { ...NO_ML_DSA, ...NO_PAIR_RELEASED } };
const NO_TRANSFERS = { 'RSA: transferred': LACKS, 'EC: transferred': LACKS } as const;
/** Keys that are in the HSM don't leave it. */
const STAYS = {
  'backup and restore': '403 Forbidden',
  'RSA: released': NOT_HERE,
  'EC: released': NOT_HERE,
  'oct: released': NOT_HERE,
} as const;
const CANT_KEEP_KEYS = "can't keep keys, since they can't be wrapped to be stored outside it";
/** Bootstrap makes an RSA key for the pool's own tokens. */
const NO_RSA_KEYS = {
  refused:
    "can't: it fails at wrapping and opening what CKM_RSA_PKCS_KEY_PAIR_GEN makes (CKR_KEY_NOT_WRAPPABLE)",
};

/** What the service does with each module today: `npm run test:modules` says where this no longer holds. */
export const EXPECTED = {
  // Generic secrets, which HMACs want, aren't wrapped.
  cloudhsm: { except: { 'oct: HS256': LACKS, ...NO_ML_DSA } },
  'device-error': ROUNDED,
  // What is decrypted in vain looks like a wrong ciphertext.
  flaky: { ...ROUNDED, orElse: NOT_HERE },
  'kwp-only': ALL_WORK,
  'luna-fips': { ...NO_RSA_KEYS, resident: { except: { ...STAYS, ...NO_ML_DSA } } },
  'luna-fips-16': {
    ...NO_RSA_KEYS,
    resident: { except: { ...STAYS, ...NO_ML_DSA, 'oct: A256GCM': LACKS } },
  },
  // Transfers and releases are RFC 5649.
  'no-kwp': { except: { ...NO_TRANSFERS, ...NOT_RELEASED, ...NO_ML_DSA } },
  'no-locking': ROUNDED,
  nss: ALL_WORK,
  'pkcs7-pad': ALL_WORK,
  // What is transferred or released has to be unwrapped as what may come out once more.
  'read-only-unwrap': { except: { ...NO_TRANSFERS, ...NOT_RELEASED, ...NO_ML_DSA } },
  slow: ROUNDED,
  softhsm: ALL_WORK,
  yubihsm: {
    refused: CANT_KEEP_KEYS,
    resident: { except: { ...STAYS, ...NO_ML_DSA, ...NO_TRANSFERS, 'oct: A256GCM': LACKS } },
  },
  // 1.5.4
  kryoptic: { except: { 'EC: P-256K': LACKS, ...NO_MU } },
  // Each C_GetFunctionList of p11-kit's proxy gives a module of its own, so one thread calls it.
  'p11-kit-proxy': ROUNDED,
  // The main branch of May 2026, built with ENABLE_MLDSA.
  'softhsm-ml-dsa': { except: NO_MU },
  // 3.87
  softokn: { except: { 'EC: P-256K': LACKS, ...NO_ML_DSA } },
  // It makes no HMAC keys, by which seals are made.
  'tpm2-pkcs11': {
    refused: CANT_KEEP_KEYS,
    resident: { refused: "can't keep keys: CKM_GENERIC_SECRET_KEY_GEN" },
  },
} satisfies Record<string, Expectation>;

export type ModuleName = keyof typeof EXPECTED;
