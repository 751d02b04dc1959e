import type { ParameterSet } from '../../../core/operations/algorithms.ts';
import { mlDsaPrivateKeyInfo } from '../../../core/keys/ml-dsa-encoding.ts';
import type { Capabilities } from '../../capabilities/capabilities.ts';
import * as calls from '../../module/calls.ts';
import type { Template } from '../../module/calls.ts';
import { PARAMETER_SET_NUMBER } from '../../operations/ml-dsa.ts';
import { readMlDsaPkcs8 } from '../pkcs8.ts';
import { type SealingContext, unwrapSealed, wrapForSealing } from '../sealed-blob.ts';
import { dataKey, unwrappedDataKey } from '../templates.ts';
import type { KeyKeeping, KeyMaking } from './key-keeping.ts';

/** Its seed is read, so it isn't sensitive until it is opened again. */
const MADE: Template = { token: false, extractable: true, sensitive: false };

/**
 * Keys of ML-DSA, where the module makes and doesn't wrap them, and has its keys in this process's memory anyway. The
 * PKCS #8 of the seed (RFC 9881 §6) is made here and wrapped by `root-wrap` as a secret, and the key is made of it again:
 * nothing comes nearer to us than it is already. What is kept is what a module that wraps such keys opens.
 * @param unwrap what unwraps the blob: in trials, so that errors are the module's own
 */
export function sealedSeeds(
  parameterSet: ParameterSet,
  capabilities: Pick<Capabilities, 'unwrapsReadable'>,
  unwrap: typeof unwrapSealed = unwrapSealed,
): KeyKeeping {
  const stored: KeyMaking['stored'] = (context, key) => {
    const seed = calls.readBytes(context.session, key, 'seed');
    try {
      return wrapSeed(context, parameterSet, seed);
    } finally {
      seed.fill(0);
    }
  };
  const making: KeyMaking = {
    attributes: () => MADE,
    trial: MADE,
    withNew: calls.withObject,
    stored,
    storedAfterTrial: (context, key) => stored(context, key, 'private'),
  };
  return {
    making: () => making,
    load(context, blob, template) {
      const { session } = context;
      const secret = unwrap(context, blob, unwrappedDataKey(capabilities));
      const pkcs8 = calls.withObject(session, secret, () => calls.readValue(session, secret));
      try {
        const numbers = {
          ...readMlDsaPkcs8(pkcs8),
          parameterSet: PARAMETER_SET_NUMBER[parameterSet],
        };
        return calls.createObject(session, calls.toAttributes({ ...template, ...numbers }));
      } finally {
        pkcs8.fill(0);
      }
    },
    destroysLoaded: true,
  };
}

/**
 * A key of ML-DSA as it is kept in a sealed pool, by its seed, which the caller has. Whether it is one shows where it is
 * opened. The module need not take in a seed: not all do, that open its PKCS #8.
 */
export function wrapSeed(
  context: SealingContext,
  parameterSet: ParameterSet,
  seed: Uint8Array,
): Buffer {
  const { session } = context;
  const pkcs8 = mlDsaPrivateKeyInfo(parameterSet, seed);
  try {
    const secret = calls.createObject(session, calls.toAttributes(dataKey(pkcs8)));
    return calls.withObject(session, secret, () => wrapForSealing(context, secret));
  } finally {
    pkcs8.fill(0);
  }
}
