import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { createStandbyMarks } from '../store/audit/standby-marks.ts';
import { createStandbyReader, type StandbyReader } from '../store/audit/standby-reader.ts';
import { openDatabase, type StoreContext } from '../store/database.ts';
import { openClient, readServers } from '../store/servers.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';

const SETTING = 'STRONGROOM_AUDIT_DATABASE_URL';

export interface AuditStandby {
  readonly reader: StandbyReader;
  close(): Promise<void>;
}

/**
 * A standby on which the audit log is read, where the settings name one: it needn't be there.
 * @throws OperatorError for a URL that can't be read
 */
export function openAuditStandby(
  { auditDatabaseUrl: url }: Pick<ServiceSettings, 'auditDatabaseUrl'>,
  { db, poolId }: Pick<StoreContext, 'db' | 'poolId'>,
  log: Logger,
  onRead?: (from: 'standby' | 'primary') => void,
): AuditStandby | undefined {
  if (url === undefined) return undefined;
  const servers = readServers(url, SETTING);
  for (const connectionString of servers.urls) openClient({ connectionString }, SETTING);
  const standby = openDatabase({
    url,
    servers,
    role: 'standby',
    connections: LIMITS.standbyConnections,
    onIdleError: (error) => {
      log.warn({ err: error }, 'a connection to the standby broke');
    },
  });
  const marks = createStandbyMarks(db, poolId, randomUUID());
  return {
    reader: createStandbyReader({
      primary: db,
      standby,
      marks,
      ...(onRead !== undefined && { onRead }),
      onLeft: (cause) => {
        log.warn(
          { err: cause },
          'the audit log is read on the primary: the standby does not serve',
        );
      },
      onBack: () => {
        log.info({}, 'the audit log is read on the standby again');
      },
    }),
    async close() {
      await standby.destroy();
      // It is forgotten by itself otherwise.
      await marks.remove().catch(() => undefined);
    },
  };
}
