import { expect, test } from '@jest/globals';
import type { VerifiedMaterial } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import { ML_DSA, PARAMETER_SETS } from '../../../src/core/operations/algorithms.ts';
import { serializeJsonWebKey } from '../../../src/http/keys/keys.schema.ts';
import { testIdentity } from '../../support/hsm.ts';

test.each(PARAMETER_SETS)('a key of %s is answered as an AKP-HSM key, without its seed', (alg) => {
  const identity = testIdentity('pool', 'signs');
  const pub = Buffer.alloc(ML_DSA[alg].publicBytes, 7);
  const material = {
    identity,
    spec: { keyType: 'AKP-HSM', parameterSet: alg },
    publicKey: { keyType: 'AKP-HSM', pub },
    sealed: {
      rootGeneration: 1,
      ...{ blob: packBytes(Buffer.alloc(64, 8)), seal: packBytes(Buffer.alloc(32, 9)) },
    },
  } as const;
  expect(
    serializeJsonWebKey(material as unknown as VerifiedMaterial, 'https://hsm.example'),
  ).toEqual({
    ...{ kty: 'AKP-HSM', alg, pub: pub.toString('base64url'), key_ops: ['sign', 'verify'] },
    kid: `https://hsm.example/keys/signs/${identity.version}`,
  });
});
