import { AsyncLocalStorage } from 'node:async_hooks';
import cluster from 'node:cluster';
import process from 'node:process';

/**
 * Loaded into the service's processes by tests (--import): whoever asks the HSM for a session while a transaction of his is
 * open gets an error, and a line of the output says so, by which the test that started the service fails. A transaction
 * holds one of few connections, and an HSM may take its time. The supervisor of a production start has neither, nor need it load them.
 */
if (cluster.isWorker || process.env.DATABASE_URL === undefined) await watch();

async function watch() {
  const { SessionPool } = await import('../../dist/session-pool.js');
  const { TransactionBuilder } = await import('../../dist/transaction-builder.js');
  const open = new AsyncLocalStorage();

  const { execute } = TransactionBuilder.prototype;
  TransactionBuilder.prototype.execute = function (work) {
    return execute.call(this, (trx) => open.run(true, () => work(trx)));
  };

  const { withSession } = SessionPool.prototype;
  SessionPool.prototype.withSession = function (...given) {
    if (open.getStore() !== true) return withSession.apply(this, given);
    const { stack } = new Error('the HSM was asked inside a database transaction');
    process.stderr.write(`${stack}\n`);
    return Promise.reject(new Error('the HSM was asked inside a database transaction'));
  };
}
