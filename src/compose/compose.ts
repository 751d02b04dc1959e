import { randomBytes, randomUUID } from 'node:crypto';
import { type RequestListener } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Logger } from 'pino';
import { createCertificates } from '../attestation/certificates.ts';
import { openAttestationVerifier } from '../attestation/open-verifier.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import { createRecordFormats } from '../audit/record-formats.ts';
import { createRefusalLimit, REFUSAL_LIMITS } from '../audit/refusal-limit.ts';
import { watchWriter } from '../audit/writer-watch.ts';
import { createBlobThreads } from '../backup/blob-threads.ts';
import { createAuthorizer } from '../authz/enforcer.ts';
import { createAttestationService } from '../core/release/attestation-service.ts';
import { createAccessService } from '../core/access/access-service.ts';
import { createAdmission } from '../core/release/admission.ts';
import { createAuditChain } from '../core/audit/chain.ts';
import { createAssigneeCheck } from '../core/access/assignee.ts';
import { createEscalationRules } from '../core/access/escalation-rules.ts';
import { createBackupService } from '../core/recovery/backup-service.ts';
import { createCheckpointService } from '../core/audit/checkpoint-service.ts';
import { createCredentialService } from '../core/directory/credential-service.ts';
import { createClockWatch } from '../core/pool/clock-watch.ts';
import { createCryptoService } from '../core/operations/crypto-service.ts';
import { createDirectoryService } from '../core/directory/directory-service.ts';
import { createEncryptionLimit, GCM_LIMIT } from '../core/operations/encryption-limit.ts';
import { type KeyVersionId, parseKeyVersionId } from '../core/keys/key.ts';
import { createKeyService } from '../core/keys/key-service.ts';
import { createMaintenance } from '../core/pool/maintenance.ts';
import { createVersionMaker } from '../core/keys/new-version.ts';
import { OperatorError } from '../core/operator-error.ts';
import { type AuditLog } from '../core/audit/ports.ts';
import { type Clock } from '../core/clock.ts';
import { repeat } from '../core/repeating.ts';
import { createUsersAndGroups } from '../core/directory/users-and-groups.ts';
import { createRotationService } from '../core/keys/rotation/rotation-service.ts';
import { createReleaseService } from '../core/release/release-service.ts';
import { createSecureWrapService } from '../core/release/secure-wrap-service.ts';
import { createRoleService } from '../core/access/role-service.ts';
import { createSettingService } from '../core/pool/setting-service.ts';
import { createTokenSigningKeys } from '../core/directory/token-signing-keys.ts';
import { createCertifiedKeys } from '../core/pool/certified-keys.ts';
import { NO_TRACING } from '../core/tracing.ts';
import { verifyKeys } from '../core/keys/verified-keys.ts';
import { createLogVerifier } from '../core/audit/verification/log-verification.ts';
import { openPkcs11Hsm, type Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import { type App, createApp } from '../http/app.ts';
import { auditIdentityCalls } from '../http/identity/audited-identity.ts';
import { type Readiness } from '../http/pool/health.routes.ts';
import { createManagedIdentityApp } from '../http/identity/managed-identity.ts';
import { createThrottle, type RequestLimits } from '../http/server/throttle.ts';
import { createAudienceCheck, createOwnUrlCheck } from '../identity/tokens/audiences.ts';
import { createAuthenticator } from '../identity/tokens/authenticate.ts';
import { createAssertionCheck } from '../identity/clients/client-assertion.ts';
import { createSecretHasher, newClientSecret } from '../identity/clients/client-secret.ts';
import { createClientAuthenticator } from '../identity/clients/clients.ts';
import { type ExternalIssuer } from '../identity/issuers/external-issuer.ts';
import { createFederatedIssuers } from '../identity/issuers/federated-issuers.ts';
import { createSignInThrottle, SIGN_IN_LIMITS } from '../identity/clients/sign-in-throttle.ts';
import { createIssuerKeys } from '../identity/issuers/issuer-keys.ts';
import {
  cloudEndpoints,
  createTenantCheck,
  instanceDiscovery,
  openidConfiguration,
  toKeySet,
} from '../identity/endpoints/metadata.ts';
import { createManagedIdentityEndpoint } from '../identity/endpoints/managed-identity.ts';
import { unknownTenant } from '../identity/refusal.ts';
import { createTokenEndpoint, serializeRefusal } from '../identity/endpoints/token-endpoint.ts';
import { createTokenIssuer, issuerOf } from '../identity/tokens/tokens.ts';
import { createFetchJson } from '../network/fetch-json.ts';
import { createMetrics } from '../observability/metrics.ts';
import { openTracing } from '../observability/tracing.ts';
import { createAuditReader, createAuditWriter } from '../store/audit/audit-store.ts';
import { cacheKeys } from '../store/keys/cached-key-reader.ts';
import { openChangeFeed } from '../store/change-feed.ts';
import {
  createCheckpointStore,
  createAuditLogReader,
  makeAuditPartitions,
} from '../store/audit/checkpoint-store.ts';
import { connectionsOf, openDatabase, type StoreContext } from '../store/database.ts';
import { createCredentialStore } from '../store/directory/credential-store.ts';
import { createDirectoryStore } from '../store/directory/directory-store.ts';
import { createEncryptionCountStore } from '../store/operations/encryption-count-store.ts';
import { createKeyArchive } from '../store/recovery/key-archive.ts';
import { createKeyReader } from '../store/keys/key-reader.ts';
import { createKeyWriter } from '../store/keys/key-writer.ts';
import { createUsersAndGroupsStore } from '../store/directory/users-and-groups-store.ts';
import { findPool, type Pool } from '../store/pool/pool-store.ts';
import { createPrincipalReader } from '../store/directory/principal-reader.ts';
import { createRotationStore } from '../store/keys/rotation-store.ts';
import { createRoleStore } from '../store/access/role-store.ts';
import { createSettingStore } from '../store/pool/setting-store.ts';
import { createSigningKeyStore } from '../store/directory/token-signing-key-store.ts';
import { createCertifiedKeyStore } from '../store/pool/certified-key-store.ts';
import { createStoreCheck } from '../store/pool/store-check.ts';
import { readStoreTime } from '../store/pool/store-time.ts';
import { createLogFollower } from '../store/audit/log-follower.ts';
import { countUsage, createUsageReader } from '../store/audit/usage-store.ts';
import { putRowsOnRecord } from '../store/witness/rows-on-record.ts';
import { createStateReader } from '../store/witness/state-reader.ts';
import { type AttestationSettings } from '../config/setting-files.ts';

/** What a process is made from. Secrets are among it: it is never logged. */
export interface ServiceSettings {
  /** Parent domain of the pools. */
  readonly domain: string;
  readonly pool: string;
  readonly databaseUrl: string;
  readonly pkcs11: { readonly module: string; readonly tokenLabel: string; readonly pin: string };
  /** How much callers may ask, of each process. */
  readonly limits: RequestLimits;
  /** Where spans are sent by OTLP over HTTP; there are none where absent. */
  readonly tracesUrl?: string;
  /** Size of the PKCS#11 session pool; chosen where absent. */
  readonly sessions?: number;
  /** Keys that are kept in the HSM as session objects, at most; those that a tool needs where absent. */
  readonly loadedKeys?: number;
  /** Whom to believe about environments to which keys are released. */
  readonly attestation?: AttestationSettings;
  /** OIDC issuers besides the built-in directory, and PEM of authorities that theirs and federated ones may come from. */
  readonly issuers?: readonly ExternalIssuer[];
  readonly issuersCa?: string;
  /** Those whom federated credentials may name though they are at no public address. */
  readonly federatedIssuers?: readonly string[];
  /** Age at which the key that signs the directory's tokens gets a successor; 30 where absent. */
  readonly signingKeyDays?: number;
}

export interface Overrides {
  readonly clock?: Clock;
  /** A driver call hangs: this process should be replaced. */
  readonly onHang?: (operation: string) => void;
  /** Whether the start of which this process is a part has come to its end; it has where absent. */
  readonly isStartOver?: () => boolean;
  /** Another audit log than the one in the store: for measuring what that costs. No setting leads here. */
  readonly auditLog?: AuditLog;
}

export interface Service {
  readonly app: App;
  /** App Service's identity endpoint, for a listener on loopback. */
  readonly identityApp: RequestListener;
  /** Which parts could serve a request now. */
  readonly readiness: Readiness;
  /** Ends the answers that have no end of their own. */
  endStreams(): void;
  /** Writes what is waiting, and gives up the HSM and the database. Requests must have ended. */
  close(): Promise<void>;
}

export const SIGNING_KEY_DAYS = 30;

/** Limits of one process. Waits are in milliseconds. */
const LIMITS = {
  databaseConnections: 10,
  /** Of an issuer's discovery document and keys. */
  fetchDeadlineMs: 5_000,
  fetchBytes: 256 * 1024,
  auditConnections: 2,
  leaseWaitMs: 10_000,
  waitingOperations: 2_000,
  loadedKeys: 1_000,
  operationDeadlineMs: 20_000,
  keyGenerationDeadlineMs: 60_000,
  auditQueue: 10_000,
  auditBatch: 500,
  auditDeadlineMs: 10_000,
  /** Of the records of some 200,000 keys. */
  cachedKeysBytes: 256 * 1024 * 1024,
  cachedCallers: 10_000,
  sharedPolicies: 1_000,
  cachedDecisions: 500,
  cachedTokens: 10_000,
  countedKeys: 10_000,
  maintenanceEveryMs: 10_000,
  checkpointEveryMs: 1_000,
  usageRounds: 20,
  readinessMs: 1_000,
  partitionsEveryMs: 6 * 3_600_000,
};

export const systemClock: Clock = { now: () => new Date() };

/** 128 random bits. */
export function newVersionId(): KeyVersionId {
  return parseKeyVersionId(randomBytes(16).toString('hex'));
}

/** Opens the module with this service's limits and log. */
export function openHsm(
  {
    pkcs11,
    sessions,
    loadedKeys = LIMITS.loadedKeys,
  }: Pick<ServiceSettings, 'pkcs11' | 'sessions' | 'loadedKeys'>,
  log: Logger,
  onHang: (operation: string) => void = () => undefined,
  generatesApart = false,
): Pkcs11Hsm {
  return openPkcs11Hsm({
    ...pkcs11,
    ...(sessions !== undefined && { sessions }),
    leaseWaitMs: LIMITS.leaseWaitMs,
    waitingLimit: LIMITS.waitingOperations,
    loadedKeys,
    operationDeadlineMs: LIMITS.operationDeadlineMs,
    keyGenerationDeadlineMs: LIMITS.keyGenerationDeadlineMs,
    onHang,
    generatesApart,
    log: (level, message, details) => {
      log[level](details ?? {}, message);
    },
  });
}

/**
 * The token must hold this pool's own root keys, not merely keys of their name.
 * @throws Error with a sentence for the operator
 */
export async function openRootKeys(hsm: Pkcs11Hsm, pool: Pool): Promise<void> {
  if (!hsm.openRootKeys(pool.id, pool.rootGeneration))
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) does not hold the root keys of the pool "${pool.name}" (STRONGROOM_POOL): its keys can't be opened.`,
    );
  if (!Buffer.from(await hsm.rootCheck(pool.id)).equals(pool.rootCheck))
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) holds other root keys than those of the pool "${pool.name}" (STRONGROOM_POOL).`,
    );
}

/** Puts a process together: the one place where the adapters meet. @throws Error with a sentence for the operator */
export async function compose(
  settings: ServiceSettings,
  log: Logger,
  { clock = systemClock, onHang, isStartOver, auditLog: otherLog }: Overrides = {},
): Promise<Service> {
  const database = {
    url: settings.databaseUrl,
    onIdleError: (error: Error) => {
      log.warn({ err: error }, 'a database connection broke');
    },
  };
  const db = openDatabase({ ...database, connections: LIMITS.databaseConnections });
  const pool = await findPool(db, settings.pool);
  if (pool === undefined)
    throw new OperatorError(
      `The pool "${settings.pool}" has not been made yet: run \`strongroom bootstrap\`, or set STRONGROOM_POOL to one that is there.`,
    );
  const chainParts = { poolId: pool.id, newGuid: randomUUID, clock };
  // Changes write their own records: neither they nor the audit log wait for each other.
  const chains = {
    changes: createAuditChain(chainParts),
    auditLog: createAuditChain(chainParts),
    found: createAuditChain(chainParts),
  };
  const feed = await openChangeFeed({
    url: settings.databaseUrl,
    poolId: pool.id,
    onError: (error) => {
      if (error instanceof OperatorError) log.error({}, error.message);
      log.warn({ err: error }, 'the change feed broke: caches are not believed meanwhile');
    },
  });
  // The audit log must not wait behind changes that hold a connection while the HSM works.
  const auditDb = openDatabase({ ...database, connections: LIMITS.auditConnections });
  const context: StoreContext = {
    db,
    poolId: pool.id,
    chain: chains.changes,
    publish: (change) => {
      feed.publish(change);
    },
    trustedIssuers: (settings.issuers ?? []).map(({ issuer }) => issuer),
  };
  const module = openHsm(settings, log, onHang, true);
  await openRootKeys(module, pool);
  const metrics = createMetrics(() => ({
    hsm: { ...module.status, isReady: module.isReady },
    auditLog: {
      waiting: auditLog.waiting,
      lost: auditLog.lost,
      unsigned: chains.auditLog.grown() + chains.changes.grown(),
    },
    decisions: authorizer.status,
    database: connectionsOf(db, auditDb),
    isFeedCoherent: feed.isCoherent(),
    clockDifferenceSeconds: Math.abs(storeClock.differenceSeconds),
  }));
  const tracing =
    settings.tracesUrl === undefined ? NO_TRACING : await openTracing(settings.tracesUrl);
  const hsm = metrics.meterHsm(module, tracing);

  let underWay = 0;
  const sink = watchWriter(
    metrics.meterSink(createAuditWriter({ db: auditDb, poolId: pool.id, chain: chains.auditLog })),
    () => performance.now(),
  );
  const auditLog = createAuditLog({
    writer: sink,
    queueLimit: LIMITS.auditQueue,
    batchLimit: LIMITS.auditBatch,
    deadlineMs: LIMITS.auditDeadlineMs,
    requestsUnderWay: () => underWay,
  });
  const backupBlobs = createBlobThreads();
  const refusals = createRefusalLimit(REFUSAL_LIMITS, {
    auditLog,
    clock,
    newGuid: randomUUID,
    onError: (error) => {
      log.error({ err: error }, 'the refusals of strangers could not be counted in the audit log');
    },
  });
  const keyReader = cacheKeys(
    verifyKeys(createKeyReader(context), hsm),
    feed,
    LIMITS.cachedKeysBytes,
  );
  const roleStore = createRoleStore(context);
  const directoryStore = createDirectoryStore(context);
  const authorizer = await createAuthorizer({
    policies: roleStore,
    feed,
    clock,
    callers: LIMITS.cachedCallers,
    sharedPolicies: LIMITS.sharedPolicies,
    decisions: LIMITS.cachedDecisions,
    onError: (error, question) => {
      log.error({ err: error, ...question }, 'a decision failed: denied');
    },
  });
  const principals = createPrincipalReader(context);
  const requireAssignee = createAssigneeCheck(directoryStore);
  const hasher = createSecretHasher();
  const isAudience = createAudienceCheck(settings.domain);
  const signingKeys = createTokenSigningKeys({
    hsm,
    store: createSigningKeyStore(context),
    poolId: pool.id,
    newVersionId,
    rotateAfterDays: settings.signingKeyDays ?? SIGNING_KEY_DAYS,
    feed,
    clock,
    steadyMs: () => performance.now(),
    onBroken: (keyId) => {
      log.error({ keyId }, 'the seal of a signing key of the directory does not verify: not used');
    },
  });
  const directory = { domain: settings.domain, tenantId: pool.tenantId };
  const keySet = async (sought?: string) => toKeySet(await signingKeys.publicKeys(sought));
  const isTenant = createTenantCheck(pool.tenantId);
  const { authorities, extraCa } = settings.attestation ?? {};
  const credentialStore = createCredentialStore(context);
  const issuerKeys = createIssuerKeys({
    fetchJson: createFetchJson({
      ...(settings.issuersCa !== undefined && { extraCa: settings.issuersCa }),
      allowsLoopback: true,
      deadlineMs: LIMITS.fetchDeadlineMs,
      sizeLimit: LIMITS.fetchBytes,
    }),
    steadyMs: () => performance.now(),
    delay,
    onError: (issuer, error) => {
      log.warn({ err: error, issuer }, 'the keys of an issuer could not be read');
    },
  });
  const { federatedIssuers: named = [], issuers = [] } = settings;
  const federatedIssuers = createFederatedIssuers(named, issuers);
  const tokenIssuer = createTokenIssuer(signingKeys, directory);
  const authenticateClient = createClientAuthenticator({
    directory: directoryStore,
    credentials: credentialStore,
    hasher,
    verifyAssertion: createAssertionCheck({
      credentials: credentialStore,
      issuerKeys,
      federatedIssuers,
      isOwnUrl: createOwnUrlCheck(settings.domain, isTenant),
      clock,
    }),
    throttle: createSignInThrottle(SIGN_IN_LIMITS),
    clock,
  });
  const rules = {
    poolId: pool.id,
    softDeleteDays: pool.softDeleteDays,
    purgeProtection: pool.purgeProtection,
    ...(authorities !== undefined && { releaseAuthorities: authorities }),
  };
  const statements = createCertifiedKeys({
    hsm,
    store: createCertifiedKeyStore(context),
    certificates: createCertificates(),
    pool: { id: pool.id, name: pool.name },
    newVersionId,
    newGuid: randomUUID,
    clock,
  });
  const checkpoints = createCheckpointService({
    chains: Object.values(chains),
    store: createCheckpointStore(context),
    certifiedKeys: statements,
    poolId: pool.id,
    clock,
    onSigned: (time) => {
      metrics.checkpointSigned(time);
    },
    onLoss: (missing) => {
      metrics.checkpointsLost();
      log.error(missing, 'checkpoints of the audit log have been taken away');
    },
  });
  const logReader = createAuditLogReader(context);
  const stopCheckpoints = repeat(
    () => checkpoints.runOnce(),
    LIMITS.checkpointEveryMs,
    Math.random,
    (error) => {
      log.error({ err: error }, 'the audit log could not be signed: it is tried again');
    },
  );

  const storeClock = createClockWatch({
    readStoreTime: () => readStoreTime(context),
    clock,
    onChange: (difference, agrees) => {
      const seconds = `${Math.round(Math.abs(difference))} s`;
      if (agrees) log.info({}, "this machine's clock agrees with PostgreSQL's again");
      else
        log.error(
          {},
          `this machine's clock is ${seconds} ${difference > 0 ? 'ahead of' : 'behind'} PostgreSQL's: nothing is purged or rotated by itself until they agree`,
        );
    },
  });

  let rowsOnRecord: number | undefined;
  async function recordFoundRows(): Promise<void> {
    if (rowsOnRecord !== undefined) return;
    rowsOnRecord = await putRowsOnRecord({ ...context, chain: chains.found }, randomUUID);
    chains.found.end();
    if (rowsOnRecord !== undefined && rowsOnRecord > 0)
      log.info(
        { rows: rowsOnRecord },
        'rows from before an upgrade are on record: from now on a row that no record witnesses is found',
      );
  }

  let partitionsMadeAt = Number.NEGATIVE_INFINITY;
  async function keepAuditLog(): Promise<void> {
    // Who has been silent for long by a wrong clock may be at work.
    if ((await storeClock.agreedTime()) !== undefined) await checkpoints.countersign();
    await recordFoundRows();
    for (let rounds = 0; rounds < LIMITS.usageRounds && (await countUsage(context)); rounds += 1);
    if (performance.now() - partitionsMadeAt < LIMITS.partitionsEveryMs) return;
    await makeAuditPartitions(context);
    partitionsMadeAt = performance.now();
  }

  const keyStore = { ...keyReader, ...createKeyWriter(context) };
  const addVersion = createVersionMaker({ keys: keyStore, pool: rules, clock, newVersionId });

  const rotations = createRotationStore(context);
  const rotation = createRotationService({ hsm, rotations, addVersion, clock });
  const maintenance = createMaintenance({
    keys: keyStore,
    rotations,
    rotation,
    signingKeys,
    auditLog,
    clock,
    storeClock,
    newGuid: randomUUID,
    onEvent: (event) => {
      log.warn({ event }, 'a key is to be renewed');
    },
    onError: (operation, error) => {
      log.error({ err: error, operation }, 'maintenance failed: it is tried again');
    },
  });
  const stopMaintenance = repeat(
    async () => {
      await maintenance.runOnce();
      await keepAuditLog().catch((error: unknown) => {
        log.error({ err: error }, 'the upkeep of the audit log failed: it is tried again');
      });
    },
    LIMITS.maintenanceEveryMs,
    Math.random,
    (error) => {
      log.error({ err: error }, 'the upkeep of the pool failed: it is tried again');
    },
  );

  const poolSettings = createSettingService(createSettingStore(context, feed));
  const encryptionLimit = createEncryptionLimit({
    store: createEncryptionCountStore(context),
    limit: GCM_LIMIT,
    remembered: LIMITS.countedKeys,
    onHalfUsed: ({ name, version }, used) => {
      log.warn(
        { keyName: name, keyVersion: version, used, limit: GCM_LIMIT },
        'a key has made half of the AES-GCM encryptions that are safe: rotate it',
      );
    },
  });

  const logsAnswers = log.isLevelEnabled('debug');
  const isStoreThere = createStoreCheck(
    async () => (await findPool(db, settings.pool)) !== undefined,
    LIMITS.readinessMs,
  );
  const readiness: Readiness = async () => {
    const store = await isStoreThere();
    const reason = feed.fault();
    return {
      parts: {
        hsm: module.isReady,
        store,
        audit: sink.isTaking(),
        changeFeed: feed.isCoherent(),
        // Nobody has the settings of a client before.
        ...(isStartOver?.() === false && { start: false }),
      },
      ...(reason !== undefined && { reason }),
    };
  };
  const authenticate = createAuthenticator({
    issuer: issuerOf(settings.domain, pool.tenantId),
    tenantId: pool.tenantId,
    keySet,
    isAudience,
    principals,
    feed,
    clock,
    remembered: LIMITS.cachedTokens,
    external: { issuers, issuerKeys },
  });
  const admit = createAdmission({
    attestation: openAttestationVerifier({ extraCa, clock }),
    ...(authorities !== undefined && { authorities }),
  });
  const closing = new AbortController();
  const app = createApp({
    cursorKey: await module.cursorKey(),
    hosts: { domain: settings.domain, pool: settings.pool },
    pool: rules,
    keys: createKeyService({ hsm, keys: keyStore, addVersion, pool: rules, clock }),
    backups: createBackupService({
      hsm,
      archive: createKeyArchive(context),
      protector: backupBlobs,
      poolId: pool.id,
    }),
    rotation,
    settings: poolSettings,
    crypto: createCryptoService({
      hsm,
      keys: keyReader,
      settings: poolSettings,
      encryptionLimit,
      clock,
    }),
    release: {
      release: createReleaseService({ hsm, keys: keyReader, admit }),
      secureWrap: createSecureWrapService({ hsm, keys: keyReader, admit, clock }),
      attestation: createAttestationService({
        hsm,
        keys: keyReader,
        certifiedKeys: statements,
        pool: { id: pool.id, name: pool.name },
        clock,
      }),
      statements,
    },
    hsm,
    roles: createRoleService({
      roles: roleStore,
      requireAssignee,
      clock,
    }),
    escalation: createEscalationRules({ policies: roleStore, clock }),
    access: createAccessService({
      roles: roleStore,
      principals,
      authorizer,
      requireAssignee,
      clock,
    }),
    directory: createDirectoryService({
      store: directoryStore,
      hasher,
      newGuid: randomUUID,
      newSecret: newClientSecret,
      clock,
    }),
    credentials: createCredentialService({
      store: credentialStore,
      directory: directoryStore,
      isAcceptedIssuer: (issuer) => federatedIssuers.isAccepted(issuer),
      newGuid: randomUUID,
    }),
    usersAndGroups: createUsersAndGroups({
      store: createUsersAndGroupsStore(context),
      newGuid: randomUUID,
    }),
    audit: {
      events: createAuditReader(context),
      auditLog: logReader,
      follower: createLogFollower({ ...context, db: auditDb }),
      formats: createRecordFormats({ name: pool.name, domain: settings.domain }),
      closing: closing.signal,
      onFault: (error, requestId) => {
        metrics.streamFailed();
        log.error({ err: error, requestId }, 'a stream of the audit log has failed');
      },
      verifier: createLogVerifier({
        auditLog: logReader,
        state: createStateReader(context),
        certifiedKeys: statements,
        poolId: pool.id,
        clock,
      }),
    },
    usage: createUsageReader(context),
    auditLog: otherLog ?? auditLog,
    refusals,
    authorizer,
    authenticate,
    identity: {
      isTenant,
      openidConfiguration,
      unknownTenant: (requestId) => serializeRefusal(unknownTenant(), { requestId }, clock.now()),
      keySet: () => keySet(),
      instanceDiscovery,
      cloudEndpoints: (origin) => cloudEndpoints(origin, settings.domain, pool.tenantId),
      token: createTokenEndpoint({
        tenants: isTenant,
        authenticateClient,
        isAudience,
        issuer: tokenIssuer,
        clock,
      }),
    },
    throttle: createThrottle(settings.limits, authenticate.remembers),
    tracing,
    readiness,
    onRequest: () => {
      underWay += 1;
    },
    onResponse: ({ operation, status, seconds, requestId }) => {
      underWay -= 1;
      metrics.request(operation, status, seconds);
      if (logsAnswers)
        log.debug({ requestId, operation, status, durationMs: seconds * 1000 }, 'answered');
    },
    clock,
    log,
  });

  const identityApp = createManagedIdentityApp(
    auditIdentityCalls({
      respond: createManagedIdentityEndpoint({
        authenticateClient,
        isAudience,
        issuer: tokenIssuer,
        clock,
      }),
      auditLog,
      refusals,
      clock,
    }),
    (error, requestId) => {
      log.error({ err: error, requestId }, 'a managed identity got no token');
    },
  );

  return {
    app,
    identityApp,
    readiness,
    endStreams() {
      closing.abort();
    },
    async close() {
      await stopMaintenance();
      refusals.close();
      await auditLog.close();
      await stopCheckpoints();
      for (const chain of Object.values(chains)) chain.end();
      await checkpoints.sign().catch((error: unknown) => {
        log.error({ err: error }, 'the end of the audit log could not be signed');
      });
      await tracing.close();
      await backupBlobs.close();
      await module.close();
      await feed.close();
      await Promise.all([db.destroy(), auditDb.destroy()]);
    },
  };
}
