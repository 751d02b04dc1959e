import { type Finding, fault, ok, warning } from '../../core/diagnosis/finding.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { ALGORITHMS, type Algorithm, PARAMETER_SETS } from '../../core/operations/algorithms.ts';
import { type Capabilities, type KeyKind, keyKindOf } from '../capabilities/capabilities.ts';
import { describeLack, type Lack } from '../capabilities/lack.ts';
import { kindsFor } from '../capabilities/offer.ts';
import { makesMlDsa } from '../capabilities/refusals.ts';
import { countTokenObjects } from '../keys/keeping/pool-objects.ts';
import { keepsSeeds } from '../keys/keeping/keepings.ts';
import { probeCapabilities } from '../capabilities/probe.ts';
import { type TriedModule, triedModule } from '../capabilities/tried-module.ts';
import { openPatiently } from '../module/patience.ts';
import { tokenLabelOf } from '../module/slots.ts';
import { openToken, type Token } from '../module/token.ts';
import type { TokenOptions } from '../module/token-options.ts';
import { measureCalls, type CallTimes } from './call-times.ts';

export interface ModuleDiagnosis {
  readonly findings: readonly Finding[];
  /** Undefined where the module could not be opened, or can't keep keys. */
  readonly capabilities?: Capabilities;
  /** The same, for whoever opens the module next. */
  readonly tried?: TriedModule;
  readonly callTimes?: CallTimes;
}

export interface ExaminedModule extends Omit<TokenOptions, 'tokenLabel'> {
  /** The only token that the module has, where absent. */
  readonly tokenLabel?: string | undefined;
  /** How keys are to be kept; found out where absent. */
  readonly keeping?: KeyKeeping | undefined;
  /** Of objects, as the operator says. */
  readonly objectLimit?: number | undefined;
}

/** A process has its login session, two for calls on the event loop and two for each of a few threads. */
const COMFORTABLE_SESSIONS = 24;
/** Each pool has one of its own, so that it can't be made without. */
const SIGNS_TOKENS = 'RSA-HSM 2048';

/**
 * Opens the module as the service does, tries all that the service asks of it and times it. Everything that it makes is
 * destroyed. The thread waits.
 */
export function examineModule(examined: ExaminedModule): ModuleDiagnosis {
  let token: Token | undefined;
  try {
    const tokenLabel = examined.tokenLabel ?? openPatiently(() => tokenLabelOf(examined));
    const options = { ...examined, tokenLabel };
    token = openPatiently(() => openToken(options));
    const { loginSession, facts } = token;
    const opened = describeToken(token, options);
    try {
      const { capabilities, finding } = tryKeeping(options.keeping, (keeping) =>
        probeCapabilities(loginSession, {
          module: facts.description,
          keyWrapMechanism: options.keyWrapMechanism,
          isSoftware: facts.isSoftware,
          keeping,
        }),
      );
      const callTimes = measureCalls(loginSession, capabilities);
      const findings = [
        ...opened,
        finding,
        ...describeCapabilities(capabilities),
        describeTimes(callTimes),
      ];
      return {
        findings,
        capabilities,
        tried: triedModule(facts, options, capabilities),
        callTimes,
      };
    } catch (error) {
      return { findings: [...opened, fault('keys', sentenceOf(error))] };
    }
  } catch (error) {
    return { findings: [fault('module', sentenceOf(error))] };
  } finally {
    token?.close();
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** How keys can be kept in the module: sealed where it can, which is the default. @throws Error where neither works */
function tryKeeping(
  wanted: KeyKeeping | undefined,
  probe: (keeping: KeyKeeping) => Capabilities,
): { readonly capabilities: Capabilities; readonly finding: Finding } {
  if (wanted === 'resident')
    return {
      capabilities: probe('resident'),
      finding: ok('keys', 'They stay in the HSM, each an object of its own.'),
    };
  let sealed: Capabilities | undefined;
  let why: unknown;
  try {
    sealed = probe('sealed');
  } catch (error) {
    why = error;
  }
  const lack = sealed?.keyLacks[SIGNS_TOKENS];
  if (sealed !== undefined && (wanted === 'sealed' || lack === undefined))
    return {
      capabilities: sealed,
      finding: ok('keys', 'It wraps them, so that they are stored outside it, sealed.'),
    };
  if (wanted === 'sealed') throw why;
  const capabilities = probe('resident');
  const reason = lack === undefined ? sentenceOf(why) : `It fails at ${describeLack(lack)}.`;
  return {
    capabilities,
    finding: warning(
      'keys',
      `They can't be stored outside it, but can stay in it: \`strongroom bootstrap --keys resident\`. ${reason}`,
    ),
  };
}

function describeToken(token: Token, options: TokenOptions & ExaminedModule): Finding[] {
  const { facts, loginSession } = token;
  const { module } = facts;
  const { model, serialNumber, firmwareVersion } = module.token;
  const limit = facts.sessionLimit;
  const sessions =
    limit === undefined
      ? ok('sessions', 'The token names no limit of sessions.')
      : limit < COMFORTABLE_SESSIONS
        ? warning(
            'sessions',
            `The token has ${limit} sessions at most: processes and threads have to share them (STRONGROOM_WORKERS, STRONGROOM_SESSIONS).`,
          )
        : ok('sessions', `The token has ${limit} sessions at most.`);
  const objects = countTokenObjects(loginSession);
  return [
    ok(
      'module',
      `${facts.description} (${options.module}), PKCS#11 ${module.cryptokiVersion}; token "${options.tokenLabel}", ${model || 'no model'}, serial ${serialNumber || 'not told'}, firmware ${firmwareVersion}.`,
    ),
    facts.isThreadSafe
      ? ok('threads', 'Several threads of a process may call it at once (CKF_OS_LOCKING_OK).')
      : warning(
          'threads',
          'One thread of each process calls it, and RSA keys are made in a process of their own: it refuses CKF_OS_LOCKING_OK, or gives each thread a state of its own.',
        ),
    ...(facts.isSoftware
      ? [
          warning(
            'protection',
            `It is ${facts.module.manufacturer}: its keys are in the memory of this machine, and protected no better than the file system is.`,
          ),
        ]
      : []),
    sessions,
    describeObjects(objects, options.objectLimit),
    ...describeMemory(token),
  ];
}

/** From here on it is time to make room. */
const NEARLY_FULL = 0.9;

function describeObjects(objects: number, limit: number | undefined): Finding {
  if (limit === undefined)
    return ok('objects', `${objects} objects are in the token that this user sees.`);
  const sentence = `${objects} of ${limit} objects (PKCS11_OBJECT_LIMIT) are in the token.`;
  return objects < NEARLY_FULL * limit
    ? ok('objects', sentence)
    : warning('objects', `${sentence} At the limit no key can be made in it.`);
}

/** What the token says of its memory; most say nothing. */
function describeMemory({ slot }: Token): Finding[] {
  const { freePrivateMemory, totalPrivateMemory } = slot.getToken();
  // The binding gives what is too large for a number, such as "not known", as a BigInt.
  const [free = 0, total = 0] = [freePrivateMemory, totalPrivateMemory].map(
    (bytes: number | bigint) => Number(bytes),
  );
  if (!(total > 0 && total < NO_LIMIT && free <= total)) return [];
  const sentence = `${free} of ${total} bytes of the token's memory for keys are free.`;
  return [free > (1 - NEARLY_FULL) * total ? ok('memory', sentence) : warning('memory', sentence)];
}

/** CK_UNAVAILABLE_INFORMATION, as far as numbers of this size can tell. */
const NO_LIMIT = 0xffff_ffff;

function describeCapabilities(capabilities: Capabilities): Finding[] {
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

function describeTimes(times: CallTimes): Finding {
  const list = Object.entries(times)
    .map(([name, us]) => `${name} ${us.toLocaleString('en-US')} us`)
    .join(', ');
  return ok('time of a call', `${list} (one thread, the median of several).`);
}
