import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { fromGlobalSetup } from '../support/environment.ts';
import { startScript } from '../support/child-script.ts';
import { testToken } from '../support/softhsm.ts';

/** Whether the module bears what the service does with it in several threads of one process: `npm run test:soak`. */

const THREADS = 4;
const OPERATIONS = 300_000;

test(`${String(THREADS)} threads make, load and use keys without an error or a wrong result`, async () => {
  const { module, tokenLabel, pin } = testToken();
  const child = await startScript(`
    process.env.SOFTHSM2_CONF = ${JSON.stringify(fromGlobalSetup('SOFTHSM2_CONF'))};
    const options = ${JSON.stringify({ module, tokenLabel, pin })};
    const THREADS = ${String(THREADS)};
    const OPERATIONS = ${String(OPERATIONS)};
    ${SCRIPT}
  `);
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text: string) => {
      output.push(text);
    });
  await once(child, 'close');
  console.info(output.join(''));
  expect([child.exitCode, child.signalCode]).toEqual([0, null]);
}, 3_600_000);

const SCRIPT = `
  import assert from 'node:assert/strict';
  import { randomBytes, randomUUID } from 'node:crypto';
  const { createRootKeys } = await import(MODULES + 'hsm/keys/root-keys.js');
  const { HsmThreads } = await import(MODULES + 'hsm/module/hsm-threads.js');
  const { ThreadedSession } = await import(MODULES + 'hsm/module/threaded-session.js');
  const { openModule } = await import(MODULES + 'hsm/module/open-module.js');
  const { serializeToken } = await import(MODULES + 'hsm/module/token.js');
  const { runOperation } = await import(MODULES + 'hsm/operations/operations.js');

  const { token, capabilities } = openModule(options, undefined);
  assert.ok(token.facts.isThreadSafe);
  const rootKeys = createRootKeys(token.loginSession, randomUUID(), 1);
  const limits = { operationDeadlineMs: 60_000, keyGenerationDeadlineMs: 60_000, onHang: (name) => console.error(name, 'hangs') };
  const member = { id: 1, token: serializeToken(token, options.module), capabilities };
  const threads = new HsmThreads();
  const size = THREADS - 1;
  threads.join(member, { ...limits, size, startsAhead: true, leaseWaitMs: 60_000, waitingLimit: size });
  const workers = Array.from({ length: size }, () => new ThreadedSession({
    threads, kind: 'workers', member, limits, use: token.use, hasOwner: () => true,
  }));
  const session = token.openSession();
  const context = { session, keyOwner: () => token.loginSession, capabilities, isSoftware: true };
  // The event loop calls the module as well, and hears of the others in between.
  const inline = {
    run: async (name, input) => {
      await new Promise(setImmediate);
      return runOperation(context, name, input);
    },
  };

  let done = 0;
  const began = performance.now();
  const AES = { keyType: 'oct-HSM', bits: 256 };
  const EC = { keyType: 'EC-HSM', curve: 'P-256' };
  const RSA = { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 };
  const identity = () => ({
    pool: 'soak', name: 'soak', version: randomBytes(16).toString('hex'),
    operations: ['sign', 'verify'], exportable: false, origin: 'generated',
  });

  async function work(place, rsaBlob) {
    const run = async (name, ...input) => {
      const output = await place.run(name, input, () => undefined);
      done += 1;
      return output;
    };
    const refused = (promise) => assert.rejects(promise, ({ code }) => code === 'DecryptionFailed');
    while (done < OPERATIONS) {
      const value = randomBytes(32);
      const aes = await run('generate', rootKeys, identity(), AES);
      const key = await run('load', rootKeys, identity(), AES, 'private', aes.blob);
      for (const algorithm of ['A256KW', 'A256GCM', 'A256CBCPAD'])
        for (let time = 0; time < 3; time += 1) {
          const iv = randomBytes(16);
          const made = await run('encrypt', key, AES, algorithm, value, { iv });
          assert.deepEqual(await run('decrypt', key, AES, algorithm, made, {}), value);
          if (algorithm === 'A256CBCPAD') continue;
          made.value[3] ^= 1;
          await refused(run('decrypt', key, AES, algorithm, made, {}));
        }
      const mac = await run('mac', rootKeys, value);
      assert.equal(await run('verifyMac', rootKeys, value, mac), true);
      assert.equal(await run('verifyMac', rootKeys, randomBytes(32), mac), false);
      await run('destroy', key);

      const pair = await run('generate', rootKeys, identity(), EC);
      for (const [spec, blob, publicKey, algorithms] of [
        [EC, pair.blob, pair.publicKey, ['ES256']],
        [RSA, rsaBlob.blob, rsaBlob.publicKey, ['RS256', 'PS256']],
      ]) {
        const privateHalf = await run('load', rootKeys, identity(), spec, 'private', blob);
        const publicHalf = await run('loadPublic', spec, publicKey);
        for (const algorithm of algorithms) {
          const signature = await run('sign', privateHalf, spec, algorithm, value);
          assert.equal(await run('verify', publicHalf, spec, algorithm, value, signature), true);
          assert.equal(await run('verify', publicHalf, spec, algorithm, randomBytes(32), signature), false);
        }
        assert.ok((await run('describe', privateHalf)).sensitive);
        await run('destroy', privateHalf);
        await run('destroy', publicHalf);
      }
      // Making an RSA key takes a hundred times as long as all of this.
      if (randomBytes(1)[0] < 2) rsaBlob = await run('generate', rootKeys, identity(), RSA);
      if (randomBytes(1)[0] < 8) place.renew?.();
    }
  }

  setInterval(() => {
    console.log(Math.round((performance.now() - began) / 1000), 's:', done, 'operations,', Math.round(process.memoryUsage().rss / 2 ** 20), 'MiB');
  }, 10_000);
  const rsaBlob = await inline.run('generate', [rootKeys, identity(), RSA]);
  void Promise.all([...workers, inline].map((place) => work(place, rsaBlob))).then(() => {
    console.log('done:', done, 'operations in', Math.round((performance.now() - began) / 1000), 's,', Math.round(process.memoryUsage().rss / 2 ** 20), 'MiB');
    process.exit(0);
  });
`;
