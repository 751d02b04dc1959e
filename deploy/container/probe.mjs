// Asks the metrics listener of this container: `node probe.mjs /healthz`, or /readyz. The status is 0 where the answer is 200.
import { get } from 'node:http';
import process from 'node:process';

const LIMIT_MS = 4_000;
const [, , path = '/healthz'] = process.argv;
const port = (process.env.STRONGROOM_METRICS_LISTEN || '127.0.0.1:9464').replace(/^.*:/, '');

get({ host: '127.0.0.1', port, path, timeout: LIMIT_MS }, (response) => {
  response.resume();
  process.exitCode = response.statusCode === 200 ? 0 : 1;
  if (process.exitCode !== 0) process.stderr.write(`${path}: ${response.statusCode}\n`);
})
  .on('timeout', function () {
    this.destroy(new Error(`no answer within ${LIMIT_MS} ms`));
  })
  .on('error', ({ message }) => {
    process.stderr.write(`${path}: ${message}\n`);
    process.exitCode = 1;
  });
