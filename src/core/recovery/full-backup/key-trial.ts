import type { Hsm } from '../../keys/hsm.ts';
import type { KeyMaterial, KeySpec } from '../../keys/key.ts';
import type { KeyInspector } from '../../release/key-inspection.ts';
import type { Curve, SigningAlgorithm } from '../../operations/algorithms.ts';
import type { FullBackupStore } from './pool-store.ts';

/** What became of the keys of a pool that were tried. */
export interface KeyTrial {
  /** Keys that the HSM has opened: versions of keys, and the pool's own. */
  readonly opened: number;
  /** The kinds of which one was used. */
  readonly used: readonly string[];
  /** Name and version of those that don't open, or don't do what they should. */
  readonly broken: readonly string[];
}

export interface KeyTrialParts {
  readonly hsm: Hsm & KeyInspector;
  readonly store: Pick<FullBackupStore, 'openSnapshot' | 'openSealed'>;
  readonly onProgress?: (opened: number, of: number) => void;
}

const SIGNING: Readonly<Record<Curve, SigningAlgorithm>> = {
  'P-256': 'ES256',
  'P-256K': 'ES256K',
  'P-384': 'ES384',
  'P-521': 'ES512',
};
const DIGEST_BYTES: Partial<Record<SigningAlgorithm, number>> = { ES384: 48, ES512: 64 };

/**
 * Opens each sealed key of a pool in the HSM, sees there that its halves belong together, and uses one of each kind: it signs
 * and verifies, or wraps and unwraps.
 */
export async function tryKeys({ hsm, store, onProgress }: KeyTrialParts): Promise<KeyTrial> {
  const used = new Set<string>();
  const broken: string[] = [];
  let opened = 0;
  const snapshot = await store.openSnapshot();
  try {
    for await (const row of snapshot.rows({ withAuditRecords: false })) {
      const material = store.openSealed(row)?.material;
      if (material === undefined) continue;
      const kind = kindOf(material.spec);
      const isRight = await opensAndWorks(material, !used.has(kind)).catch(() => false);
      if (isRight) used.add(kind);
      else broken.push(`${material.identity.name}/${material.identity.version}`);
      opened += isRight ? 1 : 0;
      onProgress?.(opened, snapshot.keys);
    }
  } finally {
    await snapshot.close();
  }
  return { opened, used: [...used].sort(), broken };

  async function opensAndWorks(material: KeyMaterial, isToBeUsed: boolean): Promise<boolean> {
    const { publicHalfMatches = true } = await hsm.inspect(material);
    return publicHalfMatches && (!isToBeUsed || (await works(hsm, material)));
  }
}

function kindOf(spec: KeySpec): string {
  if (spec.keyType === 'AKP-HSM') return spec.parameterSet;
  return `${spec.keyType} ${spec.keyType === 'EC-HSM' ? spec.curve : spec.bits}`;
}

async function works(hsm: Hsm, material: KeyMaterial): Promise<boolean> {
  const { spec } = material;
  if (spec.keyType === 'oct-HSM') {
    const plaintext = new Uint8Array(32).fill(7);
    const wrapped = await hsm.encrypt(material, `A${spec.bits}KW`, plaintext, {});
    return Buffer.from(await hsm.decrypt(material, `A${spec.bits}KW`, wrapped, {})).equals(
      plaintext,
    );
  }
  const algorithm = algorithmOf(spec);
  const digest = new Uint8Array(DIGEST_BYTES[algorithm] ?? 32).fill(7);
  return hsm.verify(material, algorithm, digest, await hsm.sign(material, algorithm, digest));
}

function algorithmOf(spec: Exclude<KeySpec, { keyType: 'oct-HSM' }>): SigningAlgorithm {
  switch (spec.keyType) {
    case 'RSA-HSM':
      return 'RS256';
    case 'EC-HSM':
      return SIGNING[spec.curve];
    case 'AKP-HSM':
      return spec.parameterSet;
  }
}
