import { randomUUID } from 'node:crypto';
import { createAuditLog } from '../audit/audit-log.ts';
import { createRecordFormats } from '../audit/record-formats.ts';
import { createRefusalLimit, REFUSAL_LIMITS } from '../audit/refusal-limit.ts';
import { watchWriter } from '../audit/writer-watch.ts';
import type { CheckpointService } from '../core/audit/checkpoint-service.ts';
import { repeat } from '../core/repeating.ts';
import type { AppParts } from '../http/app.ts';
import { createAuditReader, createAuditWriter } from '../store/audit/audit-store.ts';
import { createAuditLogReader } from '../store/audit/checkpoint-store.ts';
import { createLogFollower } from '../store/audit/log-follower.ts';
import { createUsageReader } from '../store/audit/usage-store.ts';
import {
  auditOfStandby,
  checkpointsOfStandby,
  usageOfStandby,
} from '../store/audit/standby-audit.ts';
import { type AuditStandby, openAuditStandby } from './audit-standby.ts';
import type { Base } from './service/base.ts';
import { LIMITS } from './limits.ts';
import { openSignedLog, type SignedLog } from './signed-log.ts';

/** The audit log: how it is written, signed, read and verified. */
export function composeAudit(base: Base, requestsUnderWay: () => number) {
  const { log, clock, pool, auditDb, chains, metrics, context, hsm, keeper } = base;
  const writer = watchWriter(
    metrics.meterAuditWriter(
      createAuditWriter({ db: auditDb, poolId: pool.id, chain: chains.auditLog }),
    ),
    () => performance.now(),
  );
  const auditLog = createAuditLog({
    writer,
    queueLimit: LIMITS.auditQueue,
    batchLimit: LIMITS.auditBatch,
    deadlineMs: LIMITS.auditDeadlineMs,
    requestsUnderWay,
  });
  const refusals = createRefusalLimit(REFUSAL_LIMITS, {
    auditLog,
    clock,
    newGuid: randomUUID,
    onError: (error) => {
      log.error({ err: error }, 'the refusals of strangers could not be counted in the audit log');
    },
  });
  const signedLog = openSignedLog(context, pool, hsm, clock, keeper, base.feed);
  const signing = startSigning(base, signedLog);
  const closing = new AbortController();
  const standby = openAuditStandby(base.settings, context, log, (server) => {
    metrics.auditRead(server);
  });
  return {
    auditLog,
    refusals,
    checkpoints: signing.checkpoints,
    certifiedKeys: signedLog.certifiedKeys,
    isTaking: () => writer.isTaking(),
    endStreams: () => {
      closing.abort();
    },
    app: { auditLog, refusals, ...composeReading(base, signedLog, standby, closing.signal) },
    async close() {
      refusals.close();
      await auditLog.close();
      await signing.close();
      await standby?.close();
    },
  };
}

export type Audit = ReturnType<typeof composeAudit>;

/** Signs from now on how far this process's chains go; closing ends and signs them. */
function startSigning({ log, chains, metrics }: Base, signedLog: SignedLog) {
  const own = Object.values(chains);
  const checkpoints: CheckpointService = signedLog.checkpoints(own, {
    onSigned: (time) => {
      metrics.checkpointSigned(time);
    },
    onLoss: (missing) => {
      metrics.checkpointsLost();
      log.error(missing, 'checkpoints of the audit log have been taken away');
    },
  });
  const stop = repeat(
    () => checkpoints.runOnce(),
    LIMITS.checkpointEveryMs,
    Math.random,
    (error) => {
      log.error({ err: error }, 'the audit log could not be signed: it is tried again');
    },
  );
  return {
    checkpoints,
    async close() {
      await stop();
      for (const chain of own) chain.end();
      await checkpoints.sign().catch((error: unknown) => {
        log.error({ err: error }, 'the end of the audit log could not be signed');
      });
    },
  };
}

function composeReading(
  { settings, log, pool, context, auditDb, metrics }: Base,
  { verifier }: SignedLog,
  standby: AuditStandby | undefined,
  closing: AbortSignal,
): Pick<AppParts, 'audit' | 'usage'> {
  const reader = standby?.reader;
  return {
    audit: {
      events: reader === undefined ? createAuditReader(context) : auditOfStandby(reader, context),
      auditLog:
        reader === undefined
          ? createAuditLogReader(context)
          : checkpointsOfStandby(reader, context),
      follower: createLogFollower({ ...context, db: auditDb }),
      formats: createRecordFormats({ name: pool.name, domain: settings.domain }),
      verifier,
      closing,
      onFault: (error, requestId) => {
        metrics.streamFailed();
        log.error({ err: error, requestId }, 'a stream of the audit log has failed');
      },
    },
    usage: reader === undefined ? createUsageReader(context) : usageOfStandby(reader, context),
  };
}
