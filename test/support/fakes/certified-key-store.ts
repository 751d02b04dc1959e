import type { CertifiedKeyStore } from '../../../src/core/pool/certified-keys.ts';

type CertifiedKey = Parameters<CertifiedKeyStore['insertCertifiedKey']>[0];

/** Keeps one root, as the database's index does; `keys` in the order in which they came. */
export function createStatementKeyStore(): CertifiedKeyStore & { keys: CertifiedKey[] } {
  const store = {
    keys: [] as CertifiedKey[],
    findCertifiedKey(purpose: CertifiedKey['purpose']) {
      return Promise.resolve(store.keys.findLast((key) => key.purpose === purpose));
    },
    insertCertifiedKey(key: CertifiedKey) {
      const isSecondRoot =
        key.purpose === 'root' && store.keys.some(({ purpose }) => purpose === 'root');
      if (!isSecondRoot) store.keys.push(key);
      return Promise.resolve(!isSecondRoot);
    },
  };
  return store;
}
