import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';

export interface RawAnswer {
  readonly status: number;
  /** The lines of the head, without the first one. */
  readonly head: string;
  readonly body: string;
}

/**
 * Sends a request's head as it stands here, and no body: what Node's own client would never write. The server must close
 * the connection, so HTTP/1.1 wants `Connection: close`.
 * @param ca PEM; plain HTTP where absent
 */
export async function rawRequest(
  { port, ca }: { readonly port: number; readonly ca?: string },
  ...lines: readonly string[]
): Promise<RawAnswer> {
  const socket =
    ca === undefined
      ? connectPlain(port, '127.0.0.1')
      : connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca });
  await once(socket, ca === undefined ? 'connect' : 'secureConnect');
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const answer = await text(socket);
  const end = answer.indexOf('\r\n\r\n');
  const [first = '', ...head] = answer.slice(0, end).split('\r\n');
  return {
    status: Number(first.split(' ')[1]),
    head: head.join('\n'),
    body: answer.slice(end + 4),
  };
}
