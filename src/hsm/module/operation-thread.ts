import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { Session } from 'graphene-pk11';
import {
  type Input,
  type OperationContext,
  type OperationName,
  type Output,
  runOperation,
} from '../operations/operations.ts';
import { faultOf } from './errors.ts';
import { deserialize, serialize, serializeError } from './serialization.ts';
import { deserializeToken, openSessionOf } from './token.ts';
import type {
  FromHsmWorker,
  HsmWorkerData,
  OperationRequest,
  ToHsmWorker,
} from './worker-protocol.ts';

/** A thread with a session of its own, that is there to wait for the HSM: see hsm-worker.ts, which starts it and asks it. */

const data = workerData as HsmWorkerData;
const token = deserializeToken(data.token);
let session: Session | undefined;
/** Owns the keys that are loaded here, which serve other sessions too: it is given up with the thread. */
let keyOwner: Session | undefined;

/** Operations that make keys which `keyOwner` owns. */
const LOADS: ReadonlySet<OperationName> = new Set<OperationName>(['load', 'loadPublic']);

function send(message: FromHsmWorker): void {
  parentPort?.postMessage(message);
}

/** Sessions are opened when they are first needed. */
function context(): OperationContext {
  session ??= openSessionOf(token);
  return {
    session,
    keyOwner: () => (keyOwner ??= openSessionOf(token)),
    capabilities: data.capabilities,
    isSoftware: token.facts.isSoftware,
  };
}

async function run(name: OperationName, input: Input<OperationName>): Promise<void> {
  const began = performance.now();
  try {
    const output: Output<OperationName> = await runOperation(context(), name, input);
    send({ output: serialize(output), ms: performance.now() - began });
  } catch (error) {
    // The session that owned what was loaded here may be gone: what is loaded from now on belongs to a fresh one.
    if (LOADS.has(name) && faultOf(error) === 'handle') keyOwner = undefined;
    send({ failed: serializeError(error), ms: performance.now() - began });
  }
}

function giveUpSession(): void {
  try {
    session?.close();
  } catch {
    // It is gone already.
  }
  session = undefined;
}

function giveUpKeyOwner(): void {
  try {
    keyOwner?.close();
  } catch {
    // It is gone already.
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
  if (message === 'renew') giveUpSession();
  else if (message === 'leave') {
    giveUpSession();
    giveUpKeyOwner();
    parentPort?.close();
  } else {
    const { name, input } = deserialize(message) as OperationRequest;
    void run(name as OperationName, input as Input<OperationName>);
  }
});
if (data.givesWay) giveWay();
send('ready');
