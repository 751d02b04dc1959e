import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Hsm, KeyImporter } from '../core/keys/hsm.ts';
import { REPLICA_STATUSES, type ReplicaStatus } from '../core/pool/replicas.ts';
import type { BackupStanding } from '../core/recovery/schedule/backup-scheduler.ts';
import type { KeyRelease } from '../core/release/key-release.ts';
import type { SecureWrapper } from '../core/release/secure-wrap.ts';
import type { Tracing } from '../core/tracing.ts';
import { addRegistry } from './registries.ts';

/** What is read of a pool in a process when somebody asks for metrics. */
export interface PoolReadings {
  readonly hsm: {
    readonly isReady: boolean;
    readonly open: number;
    readonly inUse: number;
    readonly waiting: number;
    readonly loaded: number;
    readonly loads: number;
  };
  readonly auditLog: { readonly waiting: number; readonly lost: number; readonly unsigned: number };
  readonly decisions: { readonly size: number; readonly hits: number; readonly misses: number };
  /** Of a resident pool. */
  readonly objects?: { readonly used: number; readonly limit: number | undefined } | undefined;
  /** Rows that other root keys than the current ones seal, by the generation of these. */
  readonly rowsLeft: ReadonlyMap<number, number>;
  /** Replicas whose HSM lacks root keys that wait for it. */
  readonly replicasAwaited: number;
  /** Of each start of the service that serves the pool. */
  readonly replicas: readonly ReplicaStatus[];
  /** Undefined until it was looked at for the first time. */
  readonly backups: BackupStanding | undefined;
  /** Between this process's clock and the database's, when last compared. */
  readonly clockDifferenceSeconds: number;
}

export interface Metrics {
  /** A request was answered; `operation` is its name in the audit log. */
  request(operation: string, status: number, seconds: number): void;
  /** The same HSM, its operations timed and followed. */
  meterHsm<Meterable extends MeterableHsm>(hsm: Meterable, tracing: Tracing): Meterable;
  /** The same writer of audit records, its commits timed. */
  meterAuditWriter<Written>(writer: AuditWriter<Written>): AuditWriter<Written>;
  /** Checkpoints of the audit log that this process had seen are gone. */
  checkpointsLost(): void;
  checkpointSigned(time: Date): void;
  /** A stream of the audit log has ended for a fault of ours. */
  streamFailed(): void;
  /** Where there is a standby for it: on which of them the audit log was read. */
  auditRead(from: 'standby' | 'primary'): void;
  /** The process serves the pool no more. */
  close(): void;
}

type MeterableHsm = Hsm & KeyImporter & Pick<KeyRelease, 'wrapForRelease'> & SecureWrapper;

interface AuditWriter<Written> {
  write(records: readonly Written[]): Promise<void>;
}

interface HsmLabels {
  readonly operation: string;
  readonly algorithm: string;
}

/** From what a warm AES operation takes to what a client waits for at most. */
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];
const HSM_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 30];
const COMMIT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10];
const BATCH_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500];

/**
 * The metrics of one pool in one process, in Prometheus's terms; `pool` is a label of all. No label else holds a name that callers choose: no key, no principal, no
 * address; so their number is bounded, and none of them tells a secret.
 */
export function createMetrics(pool: string, readState: () => PoolReadings): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ pool });
  const close = addRegistry(registry);
  const registers = [registry];

  const requests = new Counter({
    name: 'strongroom_requests_total',
    help: 'Answered requests by operation and HTTP status.',
    labelNames: ['operation', 'status'] as const,
    registers,
  });
  const requestSeconds = new Histogram({
    name: 'strongroom_request_duration_seconds',
    help: 'From the head of a request to the end of its answer.',
    labelNames: ['operation'] as const,
    buckets: REQUEST_BUCKETS,
    registers,
  });
  const hsmSeconds = new Histogram({
    name: 'strongroom_hsm_operation_duration_seconds',
    help: 'Operations of the HSM by kind and algorithm, with the wait for a session.',
    labelNames: ['operation', 'algorithm'] as const,
    buckets: HSM_BUCKETS,
    registers,
  });
  const hsmErrors = new Counter({
    name: 'strongroom_hsm_operation_errors_total',
    help: 'Operations of the HSM that failed, wrong input included.',
    labelNames: ['operation', 'algorithm'] as const,
    registers,
  });
  const commitSeconds = new Histogram({
    name: 'strongroom_audit_commit_duration_seconds',
    help: 'Commits of the audit log, each of a group of records.',
    buckets: COMMIT_BUCKETS,
    registers,
  });
  const commitRecords = new Histogram({
    name: 'strongroom_audit_commit_records',
    help: 'Records that went together in a commit.',
    buckets: BATCH_BUCKETS,
    registers,
  });
  const commitErrors = new Counter({
    name: 'strongroom_audit_commit_errors_total',
    help: 'Commits of the audit log that failed: their answers were withheld.',
    registers,
  });
  const lost = new Counter({
    name: 'strongroom_audit_checkpoints_missing_total',
    help: 'Times that signed checkpoints were found to have been taken away.',
    registers,
  });
  const streamFaults = new Counter({
    name: 'strongroom_audit_stream_faults_total',
    help: 'Streams of the audit log that have ended for a fault of the service.',
    registers,
  });
  const auditReads = new Counter({
    name: 'strongroom_audit_reads_total',
    help: 'Reads of the audit log for which a standby is set, by the server that was read.',
    labelNames: ['server'] as const,
    registers,
  });
  for (const server of ['standby', 'primary']) auditReads.inc({ server }, 0);
  const signedAt = new Gauge({
    name: 'strongroom_audit_checkpoint_timestamp_seconds',
    help: 'When a checkpoint was last signed; 0 for never.',
    aggregator: 'max',
    registers,
  });
  addGauges(registers, readState);

  async function time<T>(labels: HsmLabels, act: () => Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await act();
    } catch (error) {
      hsmErrors.inc({ ...labels });
      throw error;
    } finally {
      hsmSeconds.observe({ ...labels }, (performance.now() - began) / 1000);
    }
  }

  return {
    request(operation, status, seconds) {
      requests.inc({ operation, status });
      requestSeconds.observe({ operation }, seconds);
    },
    meterHsm(hsm, tracing) {
      const timed = <T>(labels: HsmLabels, act: () => Promise<T>) =>
        tracing.step(`hsm ${labels.operation}`, () => time(labels, act));
      return Object.assign(Object.create(hsm) as typeof hsm, {
        generateKey: (...given) =>
          timed({ operation: 'generate', algorithm: given[1].keyType }, () =>
            hsm.generateKey(...given),
          ),
        encrypt: (...given) =>
          timed({ operation: 'encrypt', algorithm: given[1] }, () => hsm.encrypt(...given)),
        decrypt: (...given) =>
          timed({ operation: 'decrypt', algorithm: given[1] }, () => hsm.decrypt(...given)),
        sign: (...given) =>
          timed({ operation: 'sign', algorithm: given[1] }, () => hsm.sign(...given)),
        verify: (...given) =>
          timed({ operation: 'verify', algorithm: given[1] }, () => hsm.verify(...given)),
        random: (...given) =>
          timed({ operation: 'random', algorithm: 'random' }, () => hsm.random(...given)),
        importKey: (...given) =>
          timed({ operation: 'import', algorithm: given[1].keyType }, () =>
            hsm.importKey(...given),
          ),
        importTransferred: (...given) =>
          timed({ operation: 'import', algorithm: 'CKM_RSA_AES_KEY_WRAP' }, () =>
            hsm.importTransferred(...given),
          ),
        wrapForRelease: (...given) =>
          timed({ operation: 'release', algorithm: 'CKM_RSA_AES_KEY_WRAP' }, () =>
            hsm.wrapForRelease(...given),
          ),
        wrapFreshKey: (...given) =>
          timed({ operation: 'secure wrap', algorithm: given[1] }, () =>
            hsm.wrapFreshKey(...given),
          ),
        rewrapForRecipient: (...given) =>
          timed({ operation: 'secure unwrap', algorithm: given[1] }, () =>
            hsm.rewrapForRecipient(...given),
          ),
      } satisfies Partial<MeterableHsm>);
    },
    meterAuditWriter: (writer) => ({
      async write(records) {
        const began = performance.now();
        try {
          await writer.write(records);
          commitRecords.observe(records.length);
        } catch (error) {
          commitErrors.inc();
          throw error;
        } finally {
          commitSeconds.observe((performance.now() - began) / 1000);
        }
      },
    }),
    checkpointsLost() {
      lost.inc();
    },
    streamFailed() {
      streamFaults.inc();
    },
    auditRead(server) {
      auditReads.inc({ server });
    },
    checkpointSigned(time) {
      signedAt.set(time.getTime() / 1000);
    },
    close,
  };
}

function addGauges(registers: Registry[], readState: () => PoolReadings): void {
  /** Of processes it is the largest one's, not their sum. */
  const largest = (name: string, help: string, read: (state: PoolReadings) => number) =>
    new Gauge({
      name: `strongroom_${name}`,
      help,
      aggregator: 'max',
      registers,
      collect() {
        this.set(read(readState()));
      },
    });
  largest(
    'clock_difference_seconds',
    "The largest difference between a process's clock and the database's.",
    ({ clockDifferenceSeconds }) => clockDifferenceSeconds,
  );
  largest(
    'hsm_objects',
    "Token objects in the HSM, whosever they are; 0 where the pool's keys are sealed.",
    ({ objects }) => objects?.used ?? 0,
  );
  largest(
    'hsm_object_limit',
    'Token objects for which the HSM has room (PKCS11_OBJECT_LIMIT); 0 where it is not known.',
    ({ objects }) => objects?.limit ?? 0,
  );
  new Gauge({
    name: 'strongroom_replicas',
    help: 'Starts of the service that serve the pool, on whatever machines, by how they are.',
    labelNames: ['status'] as const,
    // Each process knows of all.
    aggregator: 'max',
    registers,
    collect() {
      const { replicas } = readState();
      for (const status of REPLICA_STATUSES)
        this.set({ status }, replicas.filter((one) => one === status).length);
    },
  });
  largest(
    'root_keys_awaited_replicas',
    'Replicas whose HSM lacks the root keys of the newest security domain, which wait for it.',
    ({ replicasAwaited }) => replicasAwaited,
  );
  new Gauge({
    name: 'strongroom_root_keys_rows_left',
    help: 'Sealed rows that wait to be wrapped by the current root keys, by the generation that seals them.',
    labelNames: ['generation'] as const,
    // All processes count the same rows.
    aggregator: 'max',
    registers,
    collect() {
      this.reset();
      for (const [generation, rows] of readState().rowsLeft)
        this.set({ generation: String(generation) }, rows);
    },
  });
  /** Without a value where there is nothing to tell of. @param aggregator of processes, which may have looked at other times */
  const sometimes = (
    name: string,
    help: string,
    aggregator: 'min' | 'max',
    read: (backups: BackupStanding, now: number) => number | undefined,
  ) =>
    new Gauge({
      name: `strongroom_backup_${name}`,
      help,
      aggregator,
      registers,
      collect() {
        const { backups } = readState();
        const value = backups && read(backups, Date.now());
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  const secondsSince = (time: Date | undefined, now: number) =>
    time && Math.max(0, (now - time.getTime()) / 1000);
  sometimes(
    'age_seconds',
    'Since the newest full backup was begun that has succeeded; absent where none was made.',
    'min',
    ({ newestAt }, now) => secondsSince(newestAt, now),
  );
  sometimes(
    'overdue_seconds',
    'Since the planned time that has no backup yet, 0 where none is due; absent without a schedule.',
    'min',
    ({ hasSchedule, dueSince }, now) =>
      hasSchedule ? (secondsSince(dueSince, now) ?? 0) : undefined,
  );
  sometimes(
    'failure_timestamp_seconds',
    'When a scheduled backup has last failed; absent where none has.',
    'max',
    ({ failedAt }) => failedAt && failedAt.getTime() / 1000,
  );
  sometimes(
    'times_ahead',
    'Rows of backups and their schedule that say a time which is still to come: nothing goes by them.',
    'max',
    ({ ahead }) => ahead,
  );
  const gauge = (name: string, help: string, read: (state: PoolReadings) => number) =>
    new Gauge({
      name: `strongroom_${name}`,
      help,
      registers,
      collect() {
        this.set(read(readState()));
      },
    });
  const counter = (name: string, help: string, read: (state: PoolReadings) => number) =>
    new Counter({
      name: `strongroom_${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(readState()));
      },
    });
  gauge('pool_open', 'Processes that serve the pool.', () => 1);
  gauge('hsm_ready', 'Processes whose HSM is ready.', ({ hsm }) => Number(hsm.isReady));
  gauge('hsm_sessions_open', 'Open PKCS#11 sessions.', ({ hsm }) => hsm.open);
  gauge('hsm_sessions_in_use', 'PKCS#11 sessions in use.', ({ hsm }) => hsm.inUse);
  gauge('hsm_sessions_waiting', 'Operations that wait for a session.', ({ hsm }) => hsm.waiting);
  gauge('hsm_keys_loaded', 'Keys that are loaded into the HSM.', ({ hsm }) => hsm.loaded);
  counter('hsm_key_loads_total', 'Keys loaded into the HSM.', ({ hsm }) => hsm.loads);
  gauge(
    'audit_queue_records',
    'Records that wait for a commit.',
    ({ auditLog }) => auditLog.waiting,
  );
  gauge(
    'audit_unsigned_records',
    'Records no checkpoint covers yet.',
    ({ auditLog }) => auditLog.unsigned,
  );
  counter(
    'audit_records_lost_total',
    'Records of answers withheld that could not be kept until the store was back.',
    ({ auditLog }) => auditLog.lost,
  );
  gauge(
    'decision_cache_callers',
    'Callers whose policies are remembered.',
    ({ decisions }) => decisions.size,
  );
  counter(
    'decision_cache_hits_total',
    'Decisions by a remembered policy.',
    ({ decisions }) => decisions.hits,
  );
  counter(
    'decision_cache_misses_total',
    'Decisions that read the policy.',
    ({ decisions }) => decisions.misses,
  );
}
