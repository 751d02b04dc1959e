import { randomBytes, randomUUID } from 'node:crypto';
import {
  type KeyIdentity,
  type KeyOperation,
  parseKeyName,
  parseKeyVersionId,
} from '../../src/core/keys/key.ts';
import { newObjectId } from '../../src/core/keys/objects/object-id.ts';
import { recordObjects } from '../../src/core/keys/objects/recorded-keys.ts';
import type { ConnectionOptions } from '../../src/hsm/module/connection.ts';
import { openPkcs11Hsm, type Pkcs11Hsm, type Pkcs11Options } from '../../src/hsm/pkcs11-hsm.ts';
import { KEEPING } from './keeping.ts';
import { testToken } from './softhsm.ts';

/** The HSM layer on this worker's token, with root keys of its own. */
export function openTestHsm(overrides: Partial<Pkcs11Options> = {}): {
  hsm: Pkcs11Hsm;
  poolId: string;
} {
  const hsm = openPkcs11Hsm({
    ...testConnection(),
    keeping: KEEPING,
    reconnectWaitMs: 2_000,
    log: () => undefined,
    ...overrides,
  });
  const poolId = randomUUID();
  hsm.createRootKeys(poolId, 1);
  return { hsm: hsm.keeping === 'resident' ? unrecorded(hsm) : hsm, poolId };
}

/** What a connection to this worker's token is opened with. */
export function testConnection(): ConnectionOptions {
  return {
    ...testToken(),
    leaseWaitMs: 5_000,
    waitingLimit: 1_000,
    loadedKeys: 100,
    operationDeadlineMs: 20_000,
    keyGenerationDeadlineMs: 60_000,
    onHang: () => undefined,
  };
}

/** Of a resident pool without a database: its objects are on no record. */
function unrecorded(hsm: Pkcs11Hsm): Pkcs11Hsm {
  return recordObjects(hsm, {
    making: (_identity, _hasMac, make) =>
      make(() => Promise.resolve({ private: newObjectId(), mac: newObjectId() })),
    use: () => Promise.resolve({ used: 0, limit: undefined }),
  });
}

export function testIdentity(
  pool: string,
  name: string,
  operations: readonly KeyOperation[] = ['sign', 'verify'],
): KeyIdentity {
  return {
    pool,
    name: parseKeyName(name),
    version: parseKeyVersionId(randomBytes(16).toString('hex')),
    operations,
    exportable: false,
    origin: 'generated',
  };
}
