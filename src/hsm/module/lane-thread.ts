import { parentPort, workerData } from 'node:worker_threads';
import graphene, { type Session } from 'graphene-pk11';
import { pack, packError, unpack } from './crossing.ts';
import { faultOf } from './errors.ts';
import { type FromLane, type LaneData, type ToLane } from './lane-protocol.ts';
import { NativeCalls } from './native-calls.ts';
import { loadModule, READ_WRITE } from './token.ts';
import { type Given, type Site, type WorkName, workAt } from '../operations/work.ts';

/** A thread with a session of its own, that is there to wait for the HSM: see thread-lanes.ts, which starts and tells it. */

const {
  module: path,
  slot: slotHandle,
  capabilities,
  isSoftware,
  keeper: keeperHandle,
} = workerData as LaneData;
const calls = new NativeCalls({
  waitsInline: true,
  deadlineMs: Number.POSITIVE_INFINITY,
  onHang: () => undefined,
});
const module = loadModule(path);
let site: Site | undefined;
let keeper: Session | undefined;
let keeperLeft = keeperHandle;
/** What makes keys that the keeper owns. */
const LOADS: ReadonlySet<WorkName> = new Set<WorkName>(['load', 'loadPublic']);

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

async function run(name: WorkName, given: unknown): Promise<void> {
  try {
    site ??= openSite();
    const done = await workAt(site, name, unpack(given, site.session) as Given<WorkName>);
    tell({ done: pack(done) });
  } catch (error) {
    // The session that owned what was loaded here may be gone: what is loaded from now on belongs to a fresh one.
    if (LOADS.has(name) && faultOf(error) === 'handle') forgetKeeper();
    tell({ failed: packError(error) });
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

parentPort?.on('message', (message: ToLane) => {
  if (message === 'renew') giveUpSession();
  else if (message === 'leave') {
    giveUpSession();
    parentPort?.close();
  } else void run(message.name, message.given);
});
tell('ready');
