import type { ErrorRequestHandler } from 'express';
import { ANSWER_WITHHELD, type AuditRecord } from '../core/audit/record.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import type { AuditLog } from '../core/audit/ports.ts';
import { contextOf, type RequestContext } from './context.ts';
import type { Log } from './log.ts';
import { send, sendText } from './send.ts';

/** Which refusals of strangers have records of their own; it counts the others. */
export interface Refusals {
  admit(record: AuditRecord): boolean;
}

interface WireError {
  readonly status: number;
  readonly code: string;
  readonly innerCode?: string;
  /** Seconds; Azure's clients repeat a 429 or 503 only when told after how long. */
  readonly retryAfter?: number;
}

/** Each kind of error as Azure's clients know it (Managed HSM where it is known, else Key Vault). */
const WIRE: Readonly<Record<ErrorCode, WireError>> = {
  Unauthenticated: { status: 401, code: 'Unauthorized' },
  AccessDenied: { status: 403, code: 'AccessDenied' },
  BadParameter: { status: 400, code: 'BadParameter' },
  InvalidKeyIdentifier: { status: 400, code: 'Invalidkeyidentifier' },
  UnsupportedApiVersion: { status: 400, code: 'BadParameter' },
  DecryptionFailed: { status: 400, code: 'BadParameter' },
  KeyNotFound: { status: 404, code: 'KeyNotFound' },
  KeyDisabled: { status: 403, code: 'Forbidden', innerCode: 'KeyDisabled' },
  KeyNotYetValid: { status: 403, code: 'Forbidden', innerCode: 'KeyNotYetValid' },
  KeyExpired: { status: 403, code: 'Forbidden', innerCode: 'KeyExpired' },
  KeyOperationForbidden: { status: 403, code: 'Forbidden', innerCode: 'KeyOperationForbidden' },
  AlgorithmDisabled: { status: 403, code: 'Forbidden', innerCode: 'AlgorithmDisabled' },
  EncryptionLimitReached: { status: 403, code: 'Forbidden', innerCode: 'EncryptionLimitReached' },
  KeyIsDeleted: { status: 409, code: 'Conflict', innerCode: 'ObjectIsDeletedButRecoverable' },
  KeyExists: { status: 409, code: 'Conflict', innerCode: 'KeyAlreadyExists' },
  KeyTooLarge: { status: 400, code: 'BadParameter' },
  MalformedBackupBlob: { status: 400, code: 'MalformedBackupBlob' },
  BackupNotFound: { status: 404, code: 'BackupNotFound' },
  StorageRefused: { status: 400, code: 'BadRequest' },
  StorageUnavailable: { status: 503, code: 'StorageUnavailable', retryAfter: 30 },
  KeyIntegrityViolation: { status: 500, code: 'KeyIntegrityViolation' },
  PurgeProtected: { status: 403, code: 'Forbidden', innerCode: 'PurgeProtected' },
  AttestationRejected: { status: 403, code: 'Forbidden', innerCode: 'AttestationRejected' },
  AttestationAuthorityUnavailable: {
    status: 503,
    code: 'AttestationAuthorityUnavailable',
    retryAfter: 5,
  },
  ReleasePolicyNotMet: { status: 403, code: 'Forbidden', innerCode: 'ReleasePolicyNotMet' },
  RoleDefinitionNotFound: { status: 404, code: 'RoleDefinitionNotFound' },
  RoleAssignmentNotFound: { status: 404, code: 'RoleAssignmentNotFound' },
  RoleAssignmentExists: { status: 409, code: 'RoleAssignmentExists' },
  RoleNameTaken: { status: 409, code: 'RoleDefinitionWithSameNameExists' },
  RoleAssignedElsewhere: { status: 409, code: 'RoleDefinitionHasAssignments' },
  LastAdministrator: { status: 409, code: 'Conflict', innerCode: 'LastAdministrator' },
  DirectoryObjectNotFound: { status: 404, code: 'Request_ResourceNotFound' },
  DirectoryObjectExists: { status: 409, code: 'Request_MultipleObjectsWithSameKeyValue' },
  SettingNotFound: { status: 404, code: 'SettingNotFound' },
  AuthorizationFailed: { status: 403, code: 'AuthorizationFailed' },
  SubscriptionNotFound: { status: 404, code: 'SubscriptionNotFound' },
  ResourceGroupNotFound: { status: 404, code: 'ResourceGroupNotFound' },
  ResourceNotFound: { status: 404, code: 'ResourceNotFound' },
  MissingApiVersion: { status: 400, code: 'MissingApiVersionParameter' },
  PathNotFound: { status: 404, code: 'NotFound' },
  PoolNotFound: { status: 404, code: 'PoolNotFound' },
  PoolNotActivated: { status: 403, code: 'Forbidden', innerCode: 'PoolNotActivated' },
  PoolRestoring: { status: 503, code: 'PoolRestoring', retryAfter: 10 },
  AddressNotAllowed: { status: 403, code: 'Forbidden', innerCode: 'ForbiddenByFirewall' },
  PayloadTooLarge: { status: 413, code: 'RequestEntityTooLarge' },
  UnsupportedMediaType: { status: 415, code: 'UnsupportedMediaType' },
  Conflict: { status: 409, code: 'Conflict' },
  NotImplemented: { status: 501, code: 'NotImplemented' },
  HsmFull: { status: 403, code: 'Forbidden', innerCode: 'HsmFull' },
  HsmBusy: { status: 503, code: 'HsmBusy', retryAfter: 1 },
  HsmUnavailable: { status: 503, code: 'HsmUnavailable', retryAfter: 5 },
  StoreUnavailable: { status: 503, code: 'StoreUnavailable', retryAfter: 5 },
  AuditUnavailable: { status: 503, code: 'AuditUnavailable', retryAfter: 5 },
  Overloaded: { status: 429, code: 'Throttled', retryAfter: 1 },
};

const INTERNAL: WireError = { status: 500, code: 'InternalServerError' };

/** Everything thrown on a request's way ends here: it is recorded, logged where it is our fault, and answered. */
export function createErrorHandler(
  auditLog: AuditLog,
  refusals: Refusals,
  log: Log,
): ErrorRequestHandler {
  return async (thrown: unknown, _req, res, next) => {
    if (res.headersSent) {
      next(thrown);
      return;
    }
    const context = contextOf(res);
    let error = fromBodyParser(thrown);
    let wire = error === undefined ? INTERNAL : WIRE[error.code];
    if (context.audited)
      try {
        await recordFailure(auditLog, refusals, context, wire, error);
      } catch (cause) {
        error = new ServiceError('AuditUnavailable', 'The audit log cannot be written.', {
          cause,
        });
        wire = WIRE.AuditUnavailable;
      }
    if (error?.code === 'PoolRestoring')
      // Everybody is refused for a while, and nothing is wrong.
      log.info({ requestId: context.requestId }, 'request refused: the pool is being restored');
    else if (wire.status >= 500)
      log.error({ err: thrown, requestId: context.requestId }, 'request failed');
    if (wire.status === 401) {
      // As the live service answers: exactly one challenge, and no JSON (a second header breaks Azure's Java client).
      sendText(res, 401, _req.method === 'GET' ? 'OK' : '', [
        ...['WWW-Authenticate', context.host.challenge],
        ...['Content-Type', 'text/plain; charset=utf-8'],
      ]);
      return;
    }
    send(
      res,
      wire.status,
      errorBody(wire, error?.message ?? 'An unexpected error occurred.', context),
      wire.retryAfter === undefined ? [] : ['Retry-After', String(wire.retryAfter)],
    );
  };
}

/**
 * The record of a refusal. Where the audit log or the store is away it is written later, and says that the response was withheld:
 * the operation may have had its effect, and a record of its success may stand besides.
 */
async function recordFailure(
  auditLog: AuditLog,
  refusals: Refusals,
  { audit, principal }: RequestContext,
  { status, code, innerCode }: WireError,
  error: ServiceError | undefined,
): Promise<void> {
  const record = () =>
    audit.finish({
      status,
      errorCode: innerCode ?? code,
      ...(error?.code === 'Unauthenticated' && { reason: error.message }),
    });
  if (principal === undefined && !refusals.admit(record())) return;
  if (error?.code === 'AuditUnavailable' || error?.code === 'StoreUnavailable') {
    auditLog.appendLater({ ...record(), errorCode: ANSWER_WITHHELD });
    return;
  }
  // What the change has committed stands; that its response failed afterwards is told besides.
  if (audit.isCommitted) auditLog.appendLater(record());
  else
    try {
      await auditLog.append(record());
    } catch (cause) {
      auditLog.appendLater({ ...record(), status: 503, errorCode: ANSWER_WITHHELD });
      throw cause;
    }
}

function errorBody(
  wire: WireError,
  message: string,
  { requestId }: Pick<RequestContext, 'requestId'>,
) {
  return {
    error: {
      code: wire.code,
      innererror: wire.innerCode === undefined ? undefined : { code: wire.innerCode },
      message: `${message} (Activity ID: ${requestId})`,
    },
  };
}

/** body-parser's own errors carry `type` (https://github.com/expressjs/body-parser#errors). Unknown ones stay unknown. */
function fromBodyParser(thrown: unknown): ServiceError | undefined {
  if (thrown instanceof ServiceError) return thrown;
  if (thrown instanceof URIError)
    return new ServiceError('BadParameter', 'The path is not percent-encoded correctly.');
  if (!(thrown instanceof Error)) return undefined;
  if (!('type' in thrown))
    // A body that is not compressed as its Content-Encoding says: zlib's own error, which body-parser gives a status only.
    return 'statusCode' in thrown && thrown.statusCode === 400
      ? new ServiceError('BadParameter', 'The request body could not be read.')
      : undefined;
  switch (thrown.type) {
    case 'entity.too.large':
    case 'parameters.too.many':
      return new ServiceError('PayloadTooLarge', 'The request body is too large.');
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return new ServiceError('UnsupportedMediaType', 'The encoding of the body is not supported.');
    case 'entity.parse.failed':
      return new ServiceError('BadParameter', 'The request body is not valid JSON.');
    default:
      return new ServiceError('BadParameter', 'The request body could not be read.');
  }
}
