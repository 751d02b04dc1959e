import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { expect, test } from '@jest/globals';
import { useSharedService } from '../../support/use-service.ts';

const { service } = useSharedService();

/** Connects, is given tickets, and closes. */
async function meet(version: 'TLSv1.2' | 'TLSv1.3', session?: Buffer) {
  const socket: TLSSocket = connect({
    port: service.port,
    host: 'localhost',
    ca: service.ca,
    minVersion: version,
    maxVersion: version,
    ...(session !== undefined && { session }),
  });
  const given = once(socket, 'session') as Promise<[Buffer]>;
  await once(socket, 'secureConnect');
  const isResumed = socket.isSessionReused();
  // In TLS 1.2 a session that is resumed isn't given anew.
  const [next] = isResumed && session !== undefined ? [session] : await given;
  socket.destroy();
  return { isResumed, session: next };
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a %s session that one worker began is resumed by every other',
  async (version) => {
    const first = await meet(version);
    const resumed: boolean[] = [];
    // The workers take connections in turn.
    for (let count = 0; count < 6; count += 1)
      resumed.push((await meet(version, first.session)).isResumed);
    expect([first.isResumed, ...resumed]).toEqual([false, true, true, true, true, true, true]);
  },
);
