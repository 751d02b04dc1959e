import { type StatementKeyStore } from '../../../src/core/statement-keys.ts';

type StatementKey = Parameters<StatementKeyStore['insertStatementKey']>[0];

/** Keeps one root, as the database's index does; `keys` in the order in which they came. */
export function createStatementKeyStore(): StatementKeyStore & { keys: StatementKey[] } {
  const store = {
    keys: [] as StatementKey[],
    findStatementKey(purpose: StatementKey['purpose']) {
      return Promise.resolve(store.keys.findLast((key) => key.purpose === purpose));
    },
    insertStatementKey(key: StatementKey) {
      const isSecondRoot =
        key.purpose === 'root' && store.keys.some(({ purpose }) => purpose === 'root');
      if (!isSecondRoot) store.keys.push(key);
      return Promise.resolve();
    },
  };
  return store;
}
