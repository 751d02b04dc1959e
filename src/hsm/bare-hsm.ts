import type { PublicKey } from '../core/keys/key.ts';
import type { RsaSize } from '../core/operations/algorithms.ts';
import { ServiceError } from '../core/errors.ts';
import type { UnwrapContentKey } from '../core/recovery/security-domain/envelopes.ts';
import type {
  RootKeyCarrier,
  RootKeyWitness,
  WrappedRootKeys,
} from '../core/recovery/root-keys/root-key-hsm.ts';
import {
  findTokenTransferKeys,
  judgeTransferKeys,
  makeTokenTransferKey,
  type TokenTransferKey,
} from './keys/token-transfer-key.ts';
import { findRootKeys } from './keys/root-keys.ts';
import { makeMac } from './keys/root-mac.ts';
import { rootCheckBytes, voucherBytes } from './keys/seal.ts';
import * as calls from './module/calls.ts';
import { fromPkcs11 } from './module/errors.ts';
import { openModule } from './module/open-module.ts';
import { withoutOpenSslErrors } from './module/openssl-errors.ts';
import { openPatiently } from './module/patience.ts';
import type { TokenOptions } from './module/token-options.ts';
import {
  type Input,
  type OperationName,
  type Output,
  runOperation,
} from './operations/operations.ts';

/** An HSM that has no pool's root keys yet, on its way to get some. */
export interface BareHsm extends Pick<RootKeyCarrier, 'importRootKeys'> {
  /** Of the token. */
  readonly label: string;
  /**
   * An RSA key that stays in the token until it is used, or too old. It takes the place of the one that there was.
   * @returns its public half, and what signs a certificate by it (RS256 of a digest)
   */
  makeTransferKey(now: Date): Promise<{
    readonly publicKey: PublicKey & { readonly keyType: 'RSA-HSM' };
    readonly sign: (digest: Uint8Array) => Promise<Uint8Array>;
  }>;
  /** The one that there is. Those that are too old are destroyed. */
  findTransferKey(now: Date): Promise<UnwrapContentKey | undefined>;
  destroyTransferKeys(): Promise<void>;
  /** Generations of a pool of which the token holds something. */
  listRootGenerations(poolId: string): Promise<readonly number[]>;
  /** What root keys in the token say of some that come to it. */
  witness(
    keys: Pick<WrappedRootKeys, 'poolId' | 'generation' | 'rootCheck'>,
  ): Pick<RootKeyWitness, 'listWholeGenerations' | 'voucher'>;
  close(): void;
}

const SIZES: readonly RsaSize[] = [4096, 2048];

/** One session, and the thread waits: nobody else has work for it. @throws OperatorError with a sentence for the operator */
export function openBareHsm(options: TokenOptions): BareHsm {
  const { token, capabilities } = openPatiently(() =>
    withoutOpenSslErrors(() => openModule(options, undefined)),
  );
  const { loginSession: session, facts } = token;
  const context = {
    session,
    keyOwner: () => session,
    capabilities,
    isSoftware: facts.isSoftware,
  };

  async function asked<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await withoutOpenSslErrors(work);
    } catch (error) {
      throw fromPkcs11(error, facts.description);
    }
  }

  const run = <Name extends OperationName>(name: Name, input: Input<Name>): Promise<Output<Name>> =>
    asked(() => runOperation(context, name, input));

  function destroy(keys: readonly TokenTransferKey[]): void {
    for (const { key } of keys) calls.destroyObject(session, key);
  }

  const specOf = (bits: RsaSize) => ({ keyType: 'RSA-HSM', bits, publicExponent: 65537 }) as const;

  return {
    label: options.tokenLabel,

    makeTransferKey: (now) =>
      asked(() => {
        const bits = SIZES.find((size) => capabilities.keyLacks[`RSA-HSM ${size}`] === undefined);
        if (bits === undefined)
          throw new ServiceError(
            'NotImplemented',
            `The HSM, ${capabilities.module}, makes no RSA keys, to which a security domain is encrypted.`,
          );
        destroy(findTokenTransferKeys(session));
        const { key, publicKey } = makeTokenTransferKey(session, capabilities, bits, now);
        return {
          publicKey,
          sign: (digest) => run('sign', [key, specOf(bits), 'RS256', digest]),
        };
      }),

    findTransferKey: (now) =>
      asked(() => {
        const there = findTokenTransferKeys(session);
        const { found, over } = judgeTransferKeys(there, now);
        destroy(over);
        if (found === undefined) return undefined;
        const { key, bits } = found;
        return async (wrapped) => {
          try {
            return await run('decrypt', [
              key,
              specOf(bits),
              'RSA-OAEP-256',
              { value: wrapped },
              {},
            ]);
          } catch (error) {
            if (error instanceof ServiceError && error.code === 'DecryptionFailed')
              return undefined;
            throw error;
          }
        };
      }),

    destroyTransferKeys: () =>
      asked(() => {
        destroy(findTokenTransferKeys(session));
      }),

    listRootGenerations: (poolId) => run('listRootGenerations', [poolId, 'one part']),

    witness: ({ poolId, generation, rootCheck }) => {
      const required = (number: number) => {
        const found = findRootKeys(session, poolId, number);
        if (found === undefined) throw new TypeError('the token holds them');
        return found;
      };
      return {
        listWholeGenerations: () => run('listRootGenerations', [poolId, 'both parts']),
        voucher: (by, of) =>
          asked(() => {
            const check =
              of === generation
                ? rootCheck
                : makeMac(session, required(of), rootCheckBytes(poolId));
            return makeMac(session, required(by), voucherBytes(poolId, by, of, check));
          }),
      };
    },

    importRootKeys: (keys, by, backupKeys) => run('importRootKeys', [keys, by, backupKeys]),

    close() {
      withoutOpenSslErrors(() => {
        token.close();
      });
    },
  };
}
