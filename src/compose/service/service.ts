import type { RequestListener } from 'node:http';
import type { AuditLog } from '../../core/audit/ports.ts';
import type { Clock } from '../../core/clock.ts';
import type { TriedModule } from '../../hsm/capabilities/tried-module.ts';
import type { Readiness } from '../../http/pool/health.routes.ts';
import type { messagesOf } from '../../http/server/server.ts';

/** What a worker process serves. */
export interface Service {
  readonly app: RequestListener;
  /** What a listener makes for it. */
  readonly messages: ReturnType<typeof messagesOf>;
  /** App Service's identity endpoint, for a listener on loopback. */
  readonly identityApp: RequestListener;
  /** What was found out about the PKCS#11 module, for other processes of the same start. */
  readonly tried: TriedModule;
  /** Which parts could serve a request now. */
  readonly readiness: Readiness;
  /** Ends the answers that have no end of their own. */
  endStreams(): void;
  /** Writes what is waiting, and gives up the HSM and the database. Requests must have ended. */
  close(): Promise<void>;
}

/** What the process around a service gives it in the place of what it would take itself. */
export interface Overrides {
  readonly clock?: Clock;
  /** A driver call hangs: this process should be replaced. */
  readonly onHang?: (operation: string) => void;
  /** A backup was restored: this process should be replaced. */
  readonly onRestored?: () => void;
  /** Whether the start of which this process is a part has come to its end; it has where absent. */
  readonly isStartOver?: () => boolean;
  /** Another audit log than the one in the store: for measuring what that costs. No setting leads here. */
  readonly auditLog?: AuditLog;
}
