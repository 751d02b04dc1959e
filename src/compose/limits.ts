/** Limits of one process. Waits are in milliseconds. */
export const LIMITS = {
  databaseConnections: 10,
  auditConnections: 2,
  /** For a connection, of all pools of a process. */
  waitingQueries: 10_000,
  connectionWaitMs: 10_000,
  /** To a standby on which the audit log is read. */
  standbyConnections: 4,
  /** Of a command that runs beside the service. */
  commandConnections: 3,
  /** Of an issuer's discovery document and keys. */
  fetchDeadlineMs: 5_000,
  fetchBytes: 256 * 1024,
  leaseWaitMs: 10_000,
  reconnectWaitMs: 2_000,
  waitingOperations: 2_000,
  loadedKeys: 1_000,
  /** Of one pool among many. */
  loadedKeysAtLeast: 50,
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
  rootKeysEveryMs: 10_000,
  /** What a process knows of the other replicas is for metrics. */
  replicasEveryMs: 10_000,
  replicaProcesses: 1_000,
  /** New root keys become a pool's once each replica's HSM holds them. */
  replicasAgreeMs: 30_000,
  /** Those of a download go on waiting in the background. */
  downloadAgreesMs: 3_000,
  poolsEveryMs: 1_000,
  /** For a name that nobody knows the pools are read again, no more often than this. */
  poolsAtLeastMs: 250,
  poolRetryMs: { first: 2_000, most: 60_000 },
  /** Of a request, for a pool that is being opened. */
  poolOpenWaitMs: 10_000,
  /** Of what a deleted pool has under way. */
  poolLeaveMs: 10_000,
  jobsEveryMs: 2_000,
  jobKeepAliveMs: 5_000,
  backupScheduleEveryMs: 5_000,
  /** Of a backup or a restore as a whole. */
  jobMs: 4 * 3_600_000,
  /** Of a storage from which nothing comes. */
  storageSilenceMs: 60_000,
  /** Of a process that ends, for the backup or restore that it is at. */
  jobEndMs: 25_000,
  /** Of a security domain's download or upload, as far as a process of its own does it; and of that process's end. */
  ceremonyMs: 120_000,
  /** Of a process that makes a pool, on the slowest HSM. */
  provisioningMs: 300_000,
  ceremonyEndMs: 5_000,
  checkpointEveryMs: 1_000,
  usageRounds: 20,
  readinessMs: 1_000,
  /** Operations that a process has left, and Managed HSMs whose retention has ended. */
  resourcesEveryMs: 5_000,
  /** Reads all objects of the token. */
  objectsEveryMs: 5 * 60_000,
  partitionsEveryMs: 6 * 3_600_000,
};
