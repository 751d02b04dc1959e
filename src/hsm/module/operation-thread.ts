import { parentPort, workerData } from 'node:worker_threads';
import graphene, { type Session } from 'graphene-pk11';
import { pack, serializeError, unpack } from './serialization.ts';
import { faultOf } from './errors.ts';
import { type FromHsmWorker, type HsmWorkerData, type ToHsmWorker } from './worker-protocol.ts';
import { NativeCalls } from './native-calls.ts';
import { loadModule, READ_WRITE } from './token.ts';
import {
  type Input,
  type OperationContext,
  type OperationName,
  runOperation,
} from '../operations/operations.ts';

/** A thread with a session of its own, that is there to wait for the HSM: see hsm-worker.ts, which starts and tells it. */

const {
  module: path,
  slot: slotHandle,
  capabilities,
  isSoftware,
  keeper: keeperHandle,
} = workerData as HsmWorkerData;
const calls = new NativeCalls({
  waitsInline: true,
  deadlineMs: Number.POSITIVE_INFINITY,
  onHang: () => undefined,
});
const module = loadModule(path);
let site: OperationContext | undefined;
let keeper: Session | undefined;
let keeperLeft = keeperHandle;
/** What makes keys that the keeper owns. */
const LOADS: ReadonlySet<OperationName> = new Set<OperationName>(['load', 'loadPublic']);

function tell(message: FromHsmWorker): void {
  parentPort?.postMessage(message);
}

/** Sessions are opened when first needed. */
function openSite(): OperationContext {
  const slot = new graphene.Slot(Buffer.from(slotHandle), module, module.lib);
  return {
    session: slot.open(READ_WRITE),
    keeper: () => {
      if (keeper !== undefined) return keeper;
      keeper =
        keeperLeft === undefined
          ? slot.open(READ_WRITE)
          : new graphene.Session(Buffer.from(keeperLeft), slot, module.lib);
      tell({ keeper: pack(keeper.handle) });
      return keeper;
    },
    calls,
    capabilities,
    isSoftware,
    keyGenerationDeadlineMs: Number.POSITIVE_INFINITY,
  };
}

async function run(name: OperationName, given: unknown): Promise<void> {
  try {
    site ??= openSite();
    const done = await runOperation(
      site,
      name,
      unpack(given, site.session) as Input<OperationName>,
    );
    tell({ done: pack(done) });
  } catch (error) {
    // The session that owned what was loaded here may be gone: what is loaded from now on belongs to a fresh one.
    if (LOADS.has(name) && faultOf(error) === 'handle') forgetKeeper();
    tell({ failed: serializeError(error) });
  }
}

function forgetKeeper(): void {
  keeper = undefined;
  keeperLeft = undefined;
}

function giveUpSession(): void {
  try {
    site?.session.close();
  } catch {
    // It is gone already.
  }
  site = undefined;
}

parentPort?.on('message', (message: ToHsmWorker) => {
  if (message === 'renew') giveUpSession();
  else if (message === 'leave') {
    giveUpSession();
    parentPort?.close();
  } else void run(message.name, message.given);
});
tell('ready');
