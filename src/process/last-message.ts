import type { FromWorker } from './worker-protocol.ts';

interface Channel {
  readonly connected: boolean;
  send?(
    message: FromWorker,
    handle: undefined,
    options: undefined,
    sent: (error: Error | null) => void,
  ): boolean;
}

/** Where the other side takes nothing any more, nobody is there to hear it. */
const LIMIT_MS = 10_000;

/** Sends a process's last message, and calls `then` once it has been written to the channel, or can't be. */
export function sendLast(channel: Channel, message: FromWorker, then: () => void): void {
  if (!channel.connected || channel.send === undefined) {
    then();
    return;
  }
  const limit = setTimeout(then, LIMIT_MS);
  channel.send(message, undefined, undefined, () => {
    clearTimeout(limit);
    then();
  });
}
