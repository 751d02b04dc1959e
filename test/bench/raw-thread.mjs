// In a thread of its own: signs by RS256 with a key of its own, one signature after the other, for as long as it is asked to.
import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import graphene from 'graphene-pk11';
import { generateKeyPair, sign } from '../../dist/modules/hsm/module/calls.js';
import { openToken } from '../../dist/modules/hsm/module/token.js';
import { SIGNING } from '../../dist/modules/hsm/operations/mechanisms.js';

const session = openToken(workerData).openSession();
const { privateKey } = generateKeyPair(
  session,
  graphene.KeyGenMechanism.RSA,
  { token: false, verify: true, modulusBits: 2048, publicExponent: Buffer.from([1, 0, 1]) },
  { keyType: graphene.KeyType.RSA, token: false, sensitive: true, sign: true },
);
const { mechanism, input, limitBytes } = SIGNING.RS256;
const data = input(randomBytes(32));

parentPort.on('message', (ms) => {
  const started = performance.now();
  let done = 0;
  while (performance.now() - started < ms) {
    sign(session, mechanism, privateKey, data, limitBytes);
    done += 1;
  }
  parentPort.postMessage({ done, ms: performance.now() - started });
});
parentPort.postMessage('ready');
