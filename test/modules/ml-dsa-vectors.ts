import process from 'node:process';
import { findAlgorithm, ML_DSA, type ParameterSet } from '../../src/core/operations/algorithms.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/keys/key.ts';
import { parseImportedKey } from '../../src/core/keys/import/key-import.ts';
import { signableOf } from '../../src/core/operations/signable.ts';
import { probeCapabilities } from '../../src/hsm/capabilities/probe.ts';
import { identityFor } from '../../src/hsm/capabilities/trial-identity.ts';
import { importPlain } from '../../src/hsm/keys/key-import.ts';
import { keepingFor } from '../../src/hsm/keys/keeping/keepings.ts';
import { createRootKeys } from '../../src/hsm/keys/root-keys.ts';
import { loadedPrivate, loadedPublic } from '../../src/hsm/keys/templates.ts';
import * as calls from '../../src/hsm/module/calls.ts';
import { faultOf } from '../../src/hsm/module/errors.ts';
import { openToken } from '../../src/hsm/module/token.ts';
import { SIGNING, signingMechanism } from '../../src/hsm/operations/mechanisms.ts';
import { signatureFits, verifySignature } from '../../src/hsm/operations/signatures.ts';
import { hex, ML_DSA_SCHEMAS, readVectors, Tally, type VectorTest } from '../support/vectors.ts';

/**
 * Asks a module all of Wycheproof's vectors of ML-DSA, by the functions by which the service asks it, and prints how many
 * came out how, and those that came out wrong. Its argument is the token, as JSON; its environment is the library's.
 */
const token = openToken(JSON.parse(process.argv[2] ?? '') as Parameters<typeof openToken>[0]);
const session = token.loginSession;
const { isSoftware, description: module } = token.facts;
const capabilities = probeCapabilities(session, { module, isSoftware });
const rootKeys = createRootKeys(session, 'vectors', 1);
const context = { session, rootKeys, capabilities };

function isSignature(spec: KeySpec, pub: Buffer, one: VectorTest): boolean {
  const { name, bytes, parameters } = asked(spec, one);
  const signature = hex(one['sig']);
  if (!signatureFits(spec, name, signature)) return false;
  const publicKey = { keyType: 'AKP-HSM', pub } as const;
  const key = calls.createObject(
    session,
    calls.toAttributes(loadedPublic(spec, publicKey, capabilities)),
  );
  return calls.withObject(session, key, () =>
    verifySignature(session, key, name, bytes, signature, parameters),
  );
}

function asked(spec: KeySpec, one: VectorTest) {
  if (spec.keyType !== 'AKP-HSM') throw new TypeError('another key');
  const facts = findAlgorithm(spec.parameterSet);
  if (facts === undefined) throw new TypeError('no such algorithm');
  const signable = {
    value: hex(one['msg']),
    context: one['ctx'] === undefined ? undefined : hex(one['ctx']),
  };
  return { name: spec.parameterSet, ...signableOf(spec, facts, signable, 'value') };
}

/** A key of this seed: whether what it signs, and what the vector says that it signs, is a signature. */
async function signs(
  spec: KeySpec & { parameterSet: ParameterSet },
  pub: Buffer,
  seed: Buffer,
  one: VectorTest,
) {
  const jwk = { kty: 'AKP', alg: spec.parameterSet, members: { pub, priv: seed } };
  const identity = identityFor(spec);
  const { blob } = importPlain(context, identity, await parseImportedKey(jwk), undefined);
  const { name, bytes, parameters } = asked(spec, one);
  const keeping = keepingFor(capabilities, spec);
  const key = keeping.load(context, blob, loadedPrivate(identity, spec));
  const { input, limitBytes } = SIGNING[name];
  const mechanism = signingMechanism(SIGNING[name], parameters);
  const sig = calls.withObject(session, key, () =>
    calls.sign(session, mechanism, key, input(bytes), limitBytes),
  );
  return (
    isSignature(spec, pub, { ...one, sig: sig.toString('hex') }) && isSignature(spec, pub, one)
  );
}

async function isRight(act: () => boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ServiceError || faultOf(error) === 'input') return false;
    throw error;
  }
}

const told: Record<string, { counts: string; disagreements: readonly string[] }> = {};
for (const file of readVectors(ML_DSA_SCHEMAS)) {
  const parameterSet = file.algorithm as ParameterSet;
  const spec = { keyType: 'AKP-HSM', parameterSet } as const;
  if (!(parameterSet in ML_DSA)) throw new TypeError(`no algorithm ${parameterSet}`);
  const tally = new Tally();
  for (const group of file.testGroups) {
    // What is no seed has none.
    const pub = hex(group['publicKey'] ?? '');
    const seed = group['privateSeed'] === undefined ? undefined : hex(group['privateSeed']);
    for (const one of group.tests) {
      // Of signatures of μ alone there is no message.
      if (one['msg'] === undefined) continue;
      const act = () =>
        seed === undefined ? isSignature(spec, pub, one) : signs(spec, pub, seed, one);
      tally.add(one, await isRight(act));
    }
  }
  told[file.name] = { counts: String(tally), disagreements: tally.disagreements };
}
token.close();
process.stdout.write(JSON.stringify(told));
