import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import graphene, { type Session } from 'graphene-pk11';
import {
  type Input,
  type OperationName,
  type Output,
  runOperation,
} from '../operations/operations.ts';
import { giveUp } from './library.ts';
import { deserialize, serialize, serializeError } from './serialization.ts';
import { deserializeToken, type LoggedIn, openSessionOf } from './token.ts';
import type {
  FromHsmWorker,
  HsmWorkerData,
  OperationRequest,
  ToHsmWorker,
  WorkerMember,
  WorkerSessions,
} from './worker-protocol.ts';

/**
 * A thread that is there to wait for the HSM, for whatever connection of its library: see hsm-worker.ts, which starts it and
 * asks it. Sessions are the connections'; those that are missing are opened here.
 */

interface Known {
  readonly token: LoggedIn;
  readonly capabilities: WorkerMember['capabilities'];
}

const members = new Map<number, Known>();

function send(message: FromHsmWorker): void {
  parentPort?.postMessage(message);
}

function known(id: number): Known {
  const member = members.get(id);
  if (member === undefined) throw new Error('the thread does not know this connection');
  return member;
}

/** The sessions of one operation, each opened when it is first needed. */
class Sessions {
  readonly #token: LoggedIn;
  readonly #ownsItself: boolean;
  session: Session | undefined;
  keyOwner: Session | undefined;

  constructor(token: LoggedIn, { session, keyOwner }: WorkerSessions) {
    this.#token = token;
    this.#ownsItself = keyOwner === 'none';
    this.session = session && sessionOf(token, session);
    this.keyOwner = keyOwner instanceof Uint8Array ? sessionOf(token, keyOwner) : undefined;
  }

  worked(): Session {
    return (this.session ??= openSessionOf(this.#token));
  }

  owner(): Session {
    return this.#ownsItself ? this.worked() : (this.keyOwner ??= openSessionOf(this.#token));
  }
}

function sessionOf({ slot }: LoggedIn, handle: Uint8Array): Session {
  return new graphene.Session(Buffer.from(handle), slot, slot.lib);
}

async function run({ of, name, input, ...sessions }: OperationRequest): Promise<void> {
  const began = performance.now();
  const { token, capabilities } = known(of);
  const own = new Sessions(token, sessions);
  const used = () => ({
    session: own.session && Uint8Array.from(own.session.handle),
    keyOwner: own.keyOwner && Uint8Array.from(own.keyOwner.handle),
  });
  try {
    const output: Output<OperationName> = await runOperation(
      {
        session: own.worked(),
        keyOwner: () => own.owner(),
        capabilities,
        isSoftware: token.facts.isSoftware,
      },
      name as OperationName,
      input as Input<OperationName>,
    );
    send({ output: serialize(output), ms: performance.now() - began, used: used() });
  } catch (error) {
    send({ failed: serializeError(error), ms: performance.now() - began, used: used() });
  }
}

/** On Linux a priority is a thread's; elsewhere it would be the whole process's. */
function giveWay(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // The system doesn't allow it.
  }
}

parentPort?.on('message', (message: ToHsmWorker) => {
  if (message instanceof Uint8Array) void run(deserialize(message) as OperationRequest);
  else if (message === 'leave') parentPort?.close();
  else if ('join' in message) {
    const { id, token, capabilities } = message.join;
    members.set(id, { token: deserializeToken(token), capabilities });
  } else if ('forget' in message) members.delete(message.forget);
  else {
    const { token } = known(message.of);
    for (const handle of message.close)
      giveUp(() => {
        sessionOf(token, handle).close();
      });
  }
});
if ((workerData as HsmWorkerData).givesWay) giveWay();
send('ready');
