import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

/**
 * A TLS client that only ever says hello (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2), as scanners do: it offers what no library
 * would any more, and reads what the server chooses of it.
 */
export interface Hello {
  /** 0x0300 is SSL 3.0, 0x0303 is TLS 1.2; 0x0304 is offered by the extension that it has for it. */
  readonly version: number;
  /** Of all 65,536 that could be. */
  readonly ciphers: readonly number[];
  readonly groups?: readonly number[];
  /** RFC 3749: 0 is none, 1 is DEFLATE. */
  readonly compressions?: readonly number[];
}

export type Choice =
  | {
      readonly kind: 'chosen';
      readonly version: number;
      readonly cipher: number;
      readonly compression: number;
    }
  | { readonly kind: 'refused' };

const LIMIT_MS = 10_000;
const TLS13 = 0x0304;
/** The numbers of groups up to ffdhe8192, and hybrids with ML-KEM (4587 to 4589). */
export const GROUPS = [...Array.from({ length: 261 }, (_, number) => number), 4587, 4588, 4589];
/** X25519, P-256, P-384, P-521. */
const CURVES = [29, 23, 24, 25];
/** ECDSA, RSA-PSS, Ed25519 and PKCS#1, with SHA-1 too. */
const SIGNATURES = [
  0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
];

const uint16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
const list8 = (bytes: Buffer) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const list16 = (bytes: Buffer) => Buffer.concat([uint16(bytes.length), bytes]);
const numbers = (values: readonly number[]) => Buffer.concat(values.map(uint16));
const extension = (type: number, body: Buffer) => Buffer.concat([uint16(type), list16(body)]);

function encode({ version, ciphers, groups = CURVES, compressions = [0] }: Hello): Buffer {
  const extensions = Buffer.concat([
    extension(10, list16(numbers(groups))),
    extension(11, list8(Buffer.from([0]))),
    extension(13, list16(numbers(SIGNATURES))),
    ...(version === TLS13
      ? // Without a share of a key the server names the group that it wants (HelloRetryRequest).
        [extension(43, list8(uint16(TLS13))), extension(51, list16(Buffer.alloc(0)))]
      : []),
  ]);
  const body = Buffer.concat([
    uint16(Math.min(version, 0x0303)),
    randomBytes(32),
    list8(Buffer.alloc(0)),
    list16(numbers(ciphers)),
    list8(Buffer.from(compressions)),
    // SSL 3.0 knows none.
    ...(version > 0x0300 ? [list16(extensions)] : []),
  ]);
  const handshake = Buffer.concat([Buffer.from([1, 0]), uint16(body.length), body]);
  return Buffer.concat([Buffer.from([22]), uint16(Math.min(version, 0x0301)), list16(handshake)]);
}

/** ServerHello (RFC 5246 §7.4.1.3), of which HelloRetryRequest is one. */
function decode(record: Buffer): Choice {
  // An alert, or no TLS at all.
  if (record[0] !== 22 || record[5] !== 2) return { kind: 'refused' };
  const hello = record.subarray(9);
  const afterSession = 34 + 1 + hello.readUInt8(34);
  const extensions = hello.subarray(afterSession + 3);
  let version = hello.readUInt16BE(0);
  for (let at = 2; at + 4 <= extensions.length; at += 4 + extensions.readUInt16BE(at + 2))
    if (extensions.readUInt16BE(at) === 43) version = extensions.readUInt16BE(at + 4);
  return {
    kind: 'chosen',
    version,
    cipher: hello.readUInt16BE(afterSession),
    compression: hello.readUInt8(afterSession + 2),
  };
}

/** What the server answers to that hello. */
export async function sayHello(port: number, hello: Hello): Promise<Choice> {
  const received = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let bytes = Buffer.alloc(0);
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('no answer to a hello')));
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') reject(error);
    });
    socket.on('close', () => {
      resolve(bytes);
    });
    socket.write(encode(hello));
  });
  const length = received.length < 5 ? 0 : received.readUInt16BE(3);
  return length === 0 ? { kind: 'refused' } : decode(received.subarray(0, 5 + length));
}

/** Fits into one record. */
const AT_ONCE = 4_096;
const ALL = Array.from({ length: 65_536 }, (_, number) => number);

/** Every cipher suite of that version that the server takes, in the order in which it prefers those of 4,096 offered. */
export async function findCiphers(port: number, version: number): Promise<number[]> {
  const found: number[] = [];
  for (let from = 0; from < ALL.length; from += AT_ONCE) {
    let ciphers = ALL.slice(from, from + AT_ONCE);
    for (;;) {
      const choice = await sayHello(port, { version, ciphers });
      if (choice.kind === 'refused' || choice.version !== version) break;
      found.push(choice.cipher);
      ciphers = ciphers.filter((cipher) => cipher !== choice.cipher);
    }
  }
  return found;
}
