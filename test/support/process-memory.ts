import { open, readFile } from 'node:fs/promises';

/** Whether the memory of other processes of this user can be read here. */
export const CAN_READ_MEMORY = await readFile('/proc/self/maps').then(
  () => true,
  () => false,
);

const CHUNK_BYTES = 4 * 1024 * 1024;
/** From the binary's own files come the mappings that nobody can write, and they hold nothing of what a process has done. */
const MAPPING = /^([\da-f]+)-([\da-f]+) r(w|-)\S+ \S+ \S+ (\d+)/gm;

interface Needle {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Names of the needles that are somewhere in a process's memory, be it in use or given up. @param needles of 8 bytes or more */
export async function findInMemory(
  pid: number,
  needles: readonly Needle[],
): Promise<readonly string[]> {
  const byStart = new Map<number, Needle[]>();
  const isStart = new Uint8Array(2 ** 16);
  for (const needle of needles) {
    const start = needle.bytes.readUInt16LE(0);
    isStart[start] = 1;
    byStart.set(start, [...(byStart.get(start) ?? []), needle]);
  }
  const longest = Math.max(...needles.map(({ bytes }) => bytes.length));
  const found = new Set<string>();
  const look = (bytes: Buffer) => {
    for (let at = 0; at + 1 < bytes.length; at += 1) {
      const start = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
      if (isStart[start] === 0) continue;
      for (const { name, bytes: wanted } of byStart.get(start) ?? [])
        if (bytes.subarray(at, at + wanted.length).equals(wanted)) found.add(name);
    }
  };
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const memory = await open(`/proc/${pid}/mem`);
  try {
    for (const [, from = '', to = '', writable, inode] of maps.matchAll(MAPPING)) {
      if (writable === '-' && inode !== '0') continue;
      const end = parseInt(to, 16);
      for (let at = parseInt(from, 16); at < end; at += CHUNK_BYTES) {
        const wanted = Math.min(CHUNK_BYTES + longest, end - at);
        // What the kernel gives nobody, or has been given back meanwhile.
        const read = await memory
          .read(Buffer.allocUnsafe(wanted), 0, wanted, at)
          .catch(() => undefined);
        if (read !== undefined) look(read.buffer.subarray(0, read.bytesRead));
      }
    }
  } finally {
    await memory.close();
  }
  return [...found];
}
