// In a process of its own (raw-module.ts): calls a PKCS#11 module as it is asked to, and sends back what comes of it.
import { Buffer } from 'node:buffer';
import process from 'node:process';
import graphene from 'graphene-pk11';

const { lib } = graphene.Module.load(process.env.PKCS11_MODULE, 'PKCS#11 module');

/** Serialization makes arrays of bytes of buffers, and the binding takes buffers only. */
function toBuffers(value) {
  // Only an empty buffer of one's own reaches the module as a null pointer.
  if (value instanceof Uint8Array && value.length === 0) return Buffer.alloc(0);
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(toBuffers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, toBuffers(member)]),
  );
}

process.on('message', ({ id, name, given }) => {
  const values = toBuffers(given);
  try {
    process.send({ id, result: lib[name](...values), given: values });
  } catch (error) {
    process.send({ id, error: { message: error.message, code: error.code } });
  }
});
process.send({ isReady: true });
