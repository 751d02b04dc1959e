import { type Finding, fault, ok, warning } from '../../core/diagnosis/finding.ts';
import { ALGORITHMS, type Algorithm, PARAMETER_SETS } from '../../core/operations/algorithms.ts';
import { type Capabilities, type KeyKind, keyKindOf } from '../capabilities/capabilities.ts';
import { describeLack, type Lack } from '../capabilities/lack.ts';
import { kindsFor } from '../capabilities/offer.ts';
import { makesMlDsa } from '../capabilities/refusals.ts';
import { keepsSeeds } from '../keys/keeping/keepings.ts';

/** Each pool has one of its own, so that it can't be made without. */
export const SIGNS_TOKENS = 'RSA-HSM 2048';

/** What the module can do, and what is refused for want of it, a finding each. */
export function describeCapabilities(capabilities: Capabilities): readonly Finding[] {
  const { keyWrapPadded, sealing, dataKeyWrap, gcmIv, keepsMacKeys } = capabilities;
  const number = `0x${Number(keyWrapPadded?.mechanism.name ?? 0).toString(16)}`;
  return [
    keyWrapPadded === undefined
      ? warning(
          'RFC 5649',
          `It has AES key wrap with padding under no number that is known (PKCS11_KEY_WRAP_MECHANISM names another): ${describeSealing(sealing)}BYOK transfers and releases of keys are refused.`,
        )
      : ok(
          'RFC 5649',
          `It has AES key wrap with padding under the number ${number}${keyWrapPadded.keepsLength ? '' : '; what is no multiple of 8 bytes is wrapped from single blocks, since it would lose its length'}.`,
        ),
    ...describeReleases(capabilities),
    ...describeTransfers(capabilities),
    dataKeyWrap === 'objects'
      ? ok('data keys', "It wraps callers' data keys itself.")
      : warning(
          'data keys',
          "It wraps no secrets of a caller's: they are wrapped from single blocks, six calls for each 8 bytes.",
        ),
    describeGcm(gcmIv),
    ...(keepsMacKeys
      ? []
      : [
          warning(
            'HMAC keys',
            'It keeps no secrets for HMACs: HS256, HS384 and HS512 are refused, and AES keys are made without them.',
          ),
        ]),
    ...lacksOf(
      'kinds of keys',
      withoutMlDsa(capabilities.keyLacks),
      (kind: KeyKind) => `keys of the kind ${kind}`,
    ),
    ...lacksOf(
      'algorithms',
      algorithmsRefused(capabilities),
      (algorithm) => algorithm,
      Object.values(ALGORITHMS).filter(({ keyType }) => keyType !== 'AKP-HSM').length,
    ),
    ...describeMlDsa(capabilities),
  ];
}

/** How keys leave a sealed pool; nothing of what the lack of RFC 5649 says already. */
function describeReleases({
  keeping,
  keyWrapPadded,
  releaseLacks,
  releaseWrapLacks,
}: Capabilities): readonly Finding[] {
  if (keeping === 'resident' || keyWrapPadded === undefined) return [];
  const kinds = byLack(releaseLacks);
  const wraps = byLack(releaseWrapLacks);
  const refused = [
    ...kinds.map(
      ([names, lack]) => `Keys of the kinds ${names} are not released: it fails at ${lack}.`,
    ),
    ...wraps.map(([names, lack]) => `Releases by ${names} are refused: it fails at ${lack}.`),
  ].join(' ');
  // That is what callers get who ask for none by name.
  if (kinds.length > 0 || releaseWrapLacks.CKM_RSA_AES_KEY_WRAP !== undefined)
    return [warning('releases', refused)];
  return [ok('releases', refused === '' ? 'It wraps all keys that it keeps for others.' : refused)];
}

function describeTransfers({ keyWrapPadded, transferLacks }: Capabilities): readonly Finding[] {
  if (keyWrapPadded === undefined) return [];
  const types = byLack(transferLacks);
  if (types.length === 0) return [ok('transfers', 'It opens keys that come wrapped (BYOK).')];
  return types.map(([names, lack]) =>
    warning(
      'transfers',
      `Wrapped keys (BYOK) of the types ${names} are refused: it fails at ${lack}.`,
    ),
  );
}

/** Names that fail for the same reason, together. */
function byLack(
  lacks: Readonly<Partial<Record<string, Lack>>>,
): readonly (readonly [names: string, lack: string])[] {
  const names = new Map<string, string[]>();
  for (const [name, lack] of Object.entries(lacks))
    if (lack !== undefined) {
      const why = describeLack(lack);
      names.set(why, [...(names.get(why) ?? []), name]);
    }
  return [...names].map(([why, all]) => [all.join(', '), why]);
}

function describeSealing(sealing: Capabilities['sealing']): string {
  if (sealing === undefined) return '';
  return `keys are wrapped by ${sealing.kind === 'gcm' ? 'AES-GCM' : 'AES-CBC with padding'} to be kept, `;
}

/** They have a line of their own: few modules make such keys yet, and that is no fault of theirs. */
function withoutMlDsa(lacks: Capabilities['keyLacks']): Capabilities['keyLacks'] {
  return Object.fromEntries(Object.entries(lacks).filter(([kind]) => !kind.startsWith('AKP-HSM')));
}

function describeMlDsa(capabilities: Capabilities): Finding[] {
  if (!makesMlDsa(capabilities))
    return [ok('ML-DSA', 'It makes no ML-DSA keys (FIPS 204); such keys are refused.')];
  const { keyLacks, externalMuLack } = capabilities;
  const lacks = PARAMETER_SETS.flatMap((name) => {
    const lack = keyLacks[`AKP-HSM ${name}`];
    return lack === undefined ? [] : [[name, lack] as const];
  });
  if (lacks.length > 0)
    return lacks.map(([name, lack]) =>
      warning('ML-DSA', `Keys of ${name} are refused: it fails at ${describeLack(lack)}.`),
    );
  const mu =
    externalMuLack === undefined ? 'signs μ (external_mu) too' : 'signs no μ (external_mu)';
  return [
    ok(
      'ML-DSA',
      `It makes ML-DSA keys that sign${keepsSeeds(capabilities) ? ', of which their seeds are wrapped' : ''}; it ${mu}.`,
    ),
  ];
}

function describeGcm(gcmIv: Capabilities['gcmIv']): Finding {
  switch (gcmIv) {
    case 'ours':
      return ok('AES-GCM', 'It takes the IV that it is given.');
    case 'appended':
      return ok('AES-GCM', 'It makes the IV itself and appends it; callers are given that one.');
    case 'written':
      return ok('AES-GCM', 'It makes the IV itself and tells it; callers are given that one.');
    case undefined:
      return warning('AES-GCM', 'Whose IV it uses can not be found out: AES-GCM is refused.');
  }
}

/** By names, with the kind of key where an algorithm fails with some of them only. */
function algorithmsRefused({ algorithmLacks, keyLacks }: Capabilities): Record<string, Lack> {
  const refused: Record<string, Lack> = {};
  for (const [name, lacks] of Object.entries(algorithmLacks)) {
    const kinds = kindsFor(name as Algorithm).map(keyKindOf);
    const isWhole = kinds.every((kind) => (lacks[kind] ?? keyLacks[kind]) !== undefined);
    for (const [kind, lack] of Object.entries(lacks) as [KeyKind, Lack][])
      refused[isWhole ? name : `${name} with a key of the kind ${kind}`] = lack;
  }
  return refused;
}

function lacksOf<Name extends string>(
  subject: string,
  lacks: Readonly<Partial<Record<Name, Lack>>>,
  describe: (name: Name) => string,
  of?: number,
): Finding[] {
  const missing = Object.entries(lacks) as [Name, Lack][];
  if (missing.length === 0)
    return [
      ok(subject, of === undefined ? 'It keeps all of them.' : `All ${of} give what they should.`),
    ];
  return missing.map(([name, lack]) => {
    const why = `it fails at ${describeLack(lack)}`;
    return name === SIGNS_TOKENS
      ? fault(subject, `${describe(name)}, with which a pool signs tokens, can't be kept: ${why}.`)
      : warning(subject, `${describe(name)} is refused: ${why}.`);
  });
}
