import graphene, { type ITemplate, type Module, type Slot } from 'graphene-pk11';
import { CURVE, findAlgorithm, type SigningAlgorithm } from '../../core/operations/algorithms.ts';
import type { Hsm } from '../../core/keys/hsm.ts';
import type { LoadedObject, ModuleFacts } from '../../core/release/key-inspection.ts';
import type { KeyMaterial, KeySpec } from '../../core/keys/key.ts';
import { type Handle, type ModuleSession, readAttributes, readBytes } from '../module/calls.ts';
import { ML_DSA_KEY_TYPE } from '../operations/ml-dsa.ts';
import { curveOf } from './templates.ts';

const { KeyType, ObjectClass } = graphene;

const FLAGS = [
  'token',
  'private',
  'sensitive',
  'extractable',
  'alwaysSensitive',
  'neverExtractable',
  'local',
] as const;
const CLASSES: readonly (readonly [number, LoadedObject['class']])[] = [
  [ObjectClass.PRIVATE_KEY, 'private'],
  [ObjectClass.SECRET_KEY, 'secret'],
];
const KEY_TYPES: readonly (readonly [number, LoadedObject['keyType']])[] = [
  [KeyType.RSA, 'RSA'],
  [KeyType.EC, 'EC'],
  [KeyType.AES, 'AES'],
  [ML_DSA_KEY_TYPE, 'ML-DSA'],
];

/** Asks the module about a loaded private or secret key: nothing of the answer is taken from our own records. */
export function describeObject(session: ModuleSession, key: Handle): LoadedObject {
  const read: Read = (template) => readAttributes(session, key, template);
  const keyType = named(KEY_TYPES, read, 'keyType');
  const bits = bitsOf(session, key, keyType);
  const flags = FLAGS.flatMap((name) => {
    const value = flagOf(read, name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    class: named(CLASSES, read, 'class'),
    keyType,
    ...(bits > 0 && { bits }),
    ...Object.fromEntries(flags),
  };
}

type Read = (template: ITemplate) => ITemplate;

function named<Name>(
  names: readonly (readonly [number, Name])[],
  read: Read,
  attribute: 'class' | 'keyType',
): Name {
  const value = read({ [attribute]: null })[attribute];
  const name = names.find(([number]) => number === value)?.[1];
  if (name === undefined) throw new Error(`the module gave no known value for ${attribute}`);
  return name;
}

/** Asked one by one: a module that lacks one attribute refuses the whole question. */
function flagOf(read: Read, name: (typeof FLAGS)[number]): boolean | undefined {
  try {
    const value: unknown = read({ [name]: null })[name];
    return typeof value === 'boolean' ? value : undefined;
  } catch {
    return undefined;
  }
}

function bitsOf(session: ModuleSession, key: Handle, keyType: LoadedObject['keyType']): number {
  switch (keyType) {
    case 'RSA':
      return BigInt(`0x${readBytes(session, key, 'modulus').toString('hex')}`).toString(2).length;
    case 'EC': {
      const curve = curveOf(readBytes(session, key, 'paramsECDSA'));
      if (curve === undefined) throw new Error('the module gave no known curve');
      return CURVE[curve].bits;
    }
    case 'AES':
      return 8 * (readAttributes(session, key, { valueLen: null }).valueLen ?? 0);
    case 'ML-DSA':
      return 0;
  }
}

/** Signs random bytes with the private half, and verifies with the public one; the signature goes nowhere. */
export async function publicHalfMatches(
  hsm: Pick<Hsm, 'sign' | 'verify' | 'random'>,
  key: KeyMaterial,
): Promise<boolean> {
  const algorithm = signingAlgorithmOf(key.spec);
  const digest = await hsm.random(findAlgorithm(algorithm)?.digestBytes ?? MESSAGE_BYTES);
  return hsm.verify(key, algorithm, digest, await hsm.sign(key, algorithm, digest));
}

/** For algorithms that take any. */
const MESSAGE_BYTES = 32;

function signingAlgorithmOf(spec: KeySpec): SigningAlgorithm {
  switch (spec.keyType) {
    case 'EC-HSM':
      return CURVE[spec.curve].algorithm;
    case 'AKP-HSM':
      return spec.parameterSet;
    case 'RSA-HSM':
    case 'oct-HSM':
      return 'RS256';
  }
}

export function describeModule(module: Module, slot: Slot): ModuleFacts {
  const token = slot.getToken();
  return {
    manufacturer: module.manufacturerID.trim(),
    library: module.libraryDescription.trim(),
    libraryVersion: versionText(module.libraryVersion),
    cryptokiVersion: versionText(module.cryptokiVersion),
    token: {
      manufacturer: token.manufacturerID.trim(),
      model: token.model.trim(),
      serialNumber: token.serialNumber.trim(),
      hardwareVersion: versionText(token.hardwareVersion),
      firmwareVersion: versionText(token.firmwareVersion),
    },
  };
}

function versionText({ major, minor }: { major: number; minor: number }): string {
  return `${major}.${minor}`;
}
