import { createHash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail, ROOT, say } from './common.mjs';

const WAIT_LIMIT_MS = 15 * 60_000;
const LOOK_EVERY_MS = 200;

/** Runs an action while no other launcher prepares the same folder. The lock is the kernel's: it goes with the process. */
export async function alone(action) {
  const deadline = performance.now() + WAIT_LIMIT_MS;
  let release = await tryLock();
  if (release === undefined) say('another start is preparing this folder: waiting for it');
  while (release === undefined) {
    if (performance.now() > deadline)
      fail(`the other start has not finished within ${WAIT_LIMIT_MS / 60_000} minutes.`);
    await sleep(LOOK_EVERY_MS);
    release = await tryLock();
  }
  try {
    return await action();
  } finally {
    release();
  }
}

async function tryLock() {
  const name = `strongroom-launch-${createHash('sha256').update(ROOT).digest('hex').slice(0, 32)}`;
  return process.platform === 'linux' ? lockByName(name) : lockByFile(join(tmpdir(), name));
}

/** A name in Linux's abstract socket namespace can be bound once. */
function lockByName(name) {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(`\0${name}`, () => resolve(() => server.close()));
  });
}

/** O_EXLOCK of macOS and the BSDs, which Node has no name for. */
function lockByFile(path) {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | 0x20;
  try {
    const descriptor = openSync(path, flags, 0o600);
    return () => closeSync(descriptor);
  } catch (error) {
    if (error.code === 'EAGAIN') return undefined;
    throw error;
  }
}
