import { type Finding, fault, ok, warning } from '../../core/diagnosis/finding.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import { describeLack } from '../capabilities/lack.ts';
import { countTokenObjects } from '../keys/keeping/pool-objects.ts';
import { probeCapabilities } from '../capabilities/probe.ts';
import { type TriedModule, triedModule } from '../capabilities/tried-module.ts';
import { openPatiently } from '../module/patience.ts';
import { tokenLabelOf } from '../module/slots.ts';
import { openToken, type Token } from '../module/token.ts';
import type { TokenOptions } from '../module/token-options.ts';
import { measureCalls, type CallTimes } from './call-times.ts';
import { describeCapabilities, SIGNS_TOKENS } from './capability-findings.ts';
import { examineTokenObjects } from './token-object-trial.ts';

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
  /** Whether objects of the token are tried too, as a new pool makes them: one that exists has shown it. */
  readonly isForNewPool?: boolean;
}

/** A process has its login session, two for calls on the event loop and two for each of a few threads. */
const COMFORTABLE_SESSIONS = 24;
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
        ...(options.isForNewPool === true
          ? [examineTokenObjects(loginSession, capabilities.keeping)]
          : []),
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
      `They can't be stored outside it, but can stay in it: \`strongroom bootstrap --keys resident\`, and PKCS11_OBJECT_LIMIT for how many objects it has room. Then only the HSM's own backup brings them back: there are no backups, no security domain and no releases of ours. ${reason}`,
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

function describeTimes(times: CallTimes): Finding {
  const list = Object.entries(times)
    .map(([name, us]) => `${name} ${us.toLocaleString('en-US')} us`)
    .join(', ');
  return ok('time of a call', `${list} (one thread, the median of several).`);
}
