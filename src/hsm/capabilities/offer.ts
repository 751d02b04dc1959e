import {
  AES_SIZES,
  type Algorithm,
  ALGORITHMS,
  CURVES,
  findAlgorithm,
  RSA_SIZES,
} from '../../core/operations/algorithms.ts';
import type { HsmOffer, OfferedKind } from '../../core/keys/hsm.ts';
import { type Capabilities, keyKindOf } from './capabilities.ts';
import { describeLack, type Lack } from './lack.ts';

const KINDS: readonly OfferedKind[] = [
  ...RSA_SIZES.map((bits) => ({ keyType: 'RSA-HSM', bits }) as const),
  ...CURVES.map((curve) => ({ keyType: 'EC-HSM', curve }) as const),
  ...AES_SIZES.map((bits) => ({ keyType: 'oct-HSM', bits }) as const),
];

/** What a module can do and what it lacks, in the words of the domain. */
export function offerOf(capabilities: Capabilities): HsmOffer {
  const { module, keyLacks } = capabilities;
  return {
    module,
    keys: KINDS.map((kind) => ({ ...kind, ...describe(keyLacks[keyKindOf(kind)]) })),
    algorithms: (Object.keys(ALGORITHMS) as Algorithm[]).map((name) => ({
      name,
      ...describe(lackOfAlgorithm(capabilities, name)),
    })),
  };
}

/** An algorithm is lacking too where no key that it fits can be kept. */
function lackOfAlgorithm(
  { keyLacks, algorithmLacks }: Capabilities,
  name: Algorithm,
): Lack | undefined {
  if (algorithmLacks[name] !== undefined) return algorithmLacks[name];
  const facts = findAlgorithm(name);
  const lacks = KINDS.filter(
    (kind) =>
      kind.keyType === facts?.keyType &&
      (kind.keyType === 'EC-HSM'
        ? kind.curve === facts.curve
        : facts.bits === undefined || kind.bits === facts.bits),
  ).map((kind) => keyLacks[keyKindOf(kind)]);
  return lacks.includes(undefined) ? undefined : lacks[0];
}

function describe(lack: Lack | undefined): { readonly lack?: string } {
  return lack === undefined ? {} : { lack: describeLack(lack) };
}
