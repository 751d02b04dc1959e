import { parentPort, workerData } from 'node:worker_threads';
import graphene, { type Session } from 'graphene-pk11';
import { pack, packError, unpack } from './crossing.ts';
import { type FromLane, type LaneData, type ToLane } from './lane-protocol.ts';
import { NativeCalls } from './native-calls.ts';
import { loadModule, READ_WRITE } from './token.ts';
import { type Given, type Site, type WorkName, workAt } from './work.ts';

/** A thread with a session of its own, that is there to wait for the HSM: see thread-lanes.ts, which starts and tells it. */

const {
  module: path,
  slot: slotHandle,
  capabilities,
  isSoftware,
  ...left
} = workerData as LaneData;
const calls = new NativeCalls({
  waitsInline: true,
  deadlineMs: Number.POSITIVE_INFINITY,
  onHang: () => undefined,
});
const module = loadModule(path);
let site: Site | undefined;
let keeper: Session | undefined;

function tell(message: FromLane): void {
  parentPort?.postMessage(message);
}

/** Sessions are opened when first needed. */
function openSite(): Site {
  const slot = new graphene.Slot(Buffer.from(slotHandle), module, module.lib);
  return {
    session: slot.open(READ_WRITE),
    keeper: () => {
      if (keeper !== undefined) return keeper;
      keeper =
        left.keeper === undefined
          ? slot.open(READ_WRITE)
          : new graphene.Session(Buffer.from(left.keeper), slot, module.lib);
      tell({ keeper: pack(keeper.handle) });
      return keeper;
    },
    calls,
    capabilities,
    isSoftware,
    keyGenerationDeadlineMs: Number.POSITIVE_INFINITY,
  };
}

async function run(name: WorkName, given: unknown): Promise<void> {
  try {
    site ??= openSite();
    const done = await workAt(site, name, unpack(given, site.session) as Given<WorkName>);
    tell({ done: pack(done) });
  } catch (error) {
    tell({ failed: packError(error) });
  }
}

function leave(): void {
  try {
    site?.session.close();
  } catch {
    // It is gone already.
  }
  parentPort?.close();
}

parentPort?.on('message', (message: ToLane) => {
  if (message === 'leave') leave();
  else void run(message.name, message.given);
});
tell('ready');
