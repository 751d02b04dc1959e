import { type ChildProcess, fork } from 'node:child_process';
import { ServiceError } from '../../core/errors.ts';
import { PinRefusedError } from '../../core/operator-error.ts';
import type { ClearCeremony } from '../../core/recovery/security-domain/ports.ts';
import { deserializeError } from '../../hsm/module/serialization.ts';
import type { Pkcs11Hsm } from '../../hsm/pkcs11-hsm.ts';
import { LIMITS } from '../limits.ts';
import type { ServiceSettings } from '../service/settings.ts';
import type { FromCeremony, ToCeremony } from './ceremony-protocol.ts';

export interface ClearCeremonyApartParts {
  readonly pkcs11: ServiceSettings['pkcs11'];
  readonly poolId: string;
  readonly hsm: Pick<Pkcs11Hsm, 'tried' | 'rootGeneration'>;
}

/** Has each ceremony done by a process of its own, which has ended when its result is there. */
export function createClearCeremonyApart({
  pkcs11,
  poolId,
  hsm,
}: ClearCeremonyApartParts): ClearCeremony {
  /** From then on nothing is tried: each try would be one more attempt with a PIN that is wrong. */
  let refusal: PinRefusedError | undefined;

  async function inProcess<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
    if (refusal !== undefined) throw unavailable(refusal);
    const child = startChild();
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMITS.ceremonyMs);
    try {
      const ask = askOf(child);
      const { tried } = hsm;
      const rootGeneration = hsm.rootGeneration();
      await ask({ kind: 'open', place: { pkcs11, tried, poolId, rootGeneration } }, 'open');
      return await work(ask);
    } catch (error) {
      if (error instanceof PinRefusedError) refusal = error;
      throw error instanceof ServiceError ? error : unavailable(error);
    } finally {
      await ended(child);
      clearTimeout(limit);
    }
  }

  return {
    exportDomain: ({ custodians, ...rest }) =>
      inProcess(async (ask) => {
        const request = { ...rest, custodians: custodians.map(({ der }) => der) };
        return (await ask({ kind: 'export', request }, 'exported')).exported;
      }),

    openBlob: (request, use) =>
      inProcess(async (ask) => {
        const { opened } = await ask({ kind: 'blob', request }, 'blob');
        return use({
          ...opened,
          importRootKeys: async () => (await ask({ kind: 'import' }, 'imported')).imported,
        });
      }),
  };
}

type Answer<Kind extends FromCeremony['kind']> = Extract<FromCeremony, { readonly kind: Kind }>;
type Ask = <Kind extends FromCeremony['kind']>(
  message: ToCeremony,
  wanted: Kind,
) => Promise<Answer<Kind>>;

function startChild(): ChildProcess {
  const child = fork(new URL('./ceremony-process.js', import.meta.url), {
    // Flags by which this process was started are about its own script.
    execArgv: [],
    serialization: 'advanced',
  });
  child.on('error', () => undefined);
  return child;
}

function askOf(child: ChildProcess): Ask {
  return async (message, wanted) => {
    const answer = await new Promise<FromCeremony>((resolve, reject) => {
      const end = (act: () => void) => {
        child.off('message', onMessage).off('exit', onExit);
        act();
      };
      const onMessage = (heard: FromCeremony) => {
        end(() => {
          resolve(heard);
        });
      };
      const onExit = () => {
        end(() => {
          reject(new Error('the process of a ceremony has ended'));
        });
      };
      child.on('message', onMessage).once('exit', onExit);
      if (child.exitCode !== null || child.signalCode !== null) onExit();
      else
        child.send(message, (error) => {
          if (error !== null) onExit();
        });
    });
    if (answer.kind === 'failed') throw deserializeError(answer.error);
    if (answer.kind !== wanted) throw new Error('the process of a ceremony said something else');
    return answer as Answer<typeof wanted>;
  };
}

/** Tells it to end, and waits until it has; it is killed where that takes long. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  await new Promise<void>((resolve) => {
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMITS.ceremonyEndMs);
    child.once('exit', () => {
      clearTimeout(limit);
      resolve();
    });
    if (child.connected) child.send({ kind: 'end' } satisfies ToCeremony, () => undefined);
  });
}

function unavailable(cause: unknown): ServiceError {
  return new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.', { cause });
}
