import {
  AES_SIZES,
  type Algorithm,
  ALGORITHMS,
  CURVES,
  findAlgorithm,
  PARAMETER_SETS,
  RSA_SIZES,
} from '../../core/operations/algorithms.ts';
import type { HsmOffer, TransferableType } from '../../core/keys/hsm.ts';
import { fitsKey, type KeyShape } from '../../core/keys/key-shape.ts';
import { RELEASE_WRAPS, type ReleaseWrap } from '../../core/release/key-release.ts';
import { type Capabilities, keyKindOf } from './capabilities.ts';
import { describeLack, type Lack } from './lack.ts';

const KINDS: readonly KeyShape[] = [
  ...RSA_SIZES.map((bits) => ({ keyType: 'RSA-HSM', bits }) as const),
  ...CURVES.map((curve) => ({ keyType: 'EC-HSM', curve }) as const),
  ...AES_SIZES.map((bits) => ({ keyType: 'oct-HSM', bits }) as const),
  ...PARAMETER_SETS.map((parameterSet) => ({ keyType: 'AKP-HSM', parameterSet }) as const),
];

/** What a module can do and what it lacks, in the words of the domain. */
export function offerOf(capabilities: Capabilities): HsmOffer {
  const { module, keeping, keyLacks, releaseLacks, releaseWrapLacks, transferLacks } = capabilities;
  return {
    module,
    keys: KINDS.map((kind) => ({ ...kind, ...describe(keyLacks[keyKindOf(kind)]) })),
    algorithms: (Object.keys(ALGORITHMS) as Algorithm[]).map((name) => ({
      name,
      ...describeAlgorithm(capabilities, name),
    })),
    externalMu: describe(capabilities.externalMuLack),
    ...(keeping === 'sealed' && {
      release: {
        keys: KINDS.map((kind) => {
          const name = keyKindOf(kind);
          return { ...kind, ...describe(keyLacks[name] ?? releaseLacks[name]) };
        }),
        wraps: RELEASE_WRAP_NAMES.map((name) => ({ name, ...describe(releaseWrapLacks[name]) })),
      },
    }),
    transfers: TRANSFERABLE.map((keyType) => ({ keyType, ...describe(transferLacks[keyType]) })),
  };
}

const RELEASE_WRAP_NAMES = Object.keys(RELEASE_WRAPS) as ReleaseWrap[];
const TRANSFERABLE: readonly TransferableType[] = ['RSA-HSM', 'EC-HSM', 'oct-HSM'];

/** An algorithm is lacking too where no key that it fits can be kept. */
function describeAlgorithm(
  { keyLacks, algorithmLacks }: Capabilities,
  name: Algorithm,
): Omit<HsmOffer['algorithms'][number], 'name'> {
  const own = algorithmLacks[name] ?? {};
  const kinds = kindsFor(name);
  const lacks = kinds.map((kind) => own[keyKindOf(kind)] ?? keyLacks[keyKindOf(kind)]);
  if (!lacks.includes(undefined)) return describe(Object.values(own)[0] ?? lacks[0]);
  const except = kinds.flatMap((kind) => {
    const lack = own[keyKindOf(kind)];
    return lack === undefined ? [] : [{ ...kind, lack: describeLack(lack) }];
  });
  return except.length === 0 ? {} : { except };
}

/** The kinds of keys that an algorithm fits. */
export function kindsFor(name: Algorithm): readonly KeyShape[] {
  const facts = findAlgorithm(name);
  return KINDS.filter((kind) => facts !== undefined && fitsKey(facts, kind));
}

function describe(lack: Lack | undefined): { readonly lack?: string } {
  return lack === undefined ? {} : { lack: describeLack(lack) };
}
