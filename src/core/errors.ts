/**
 * Every way in which a request can fail, as kinds. What each means on the wire (status, Azure's code and inner code) is
 * decided in http/error-handler.ts and nowhere else.
 */
export type ErrorCode =
  | 'Unauthenticated'
  | 'AccessDenied'
  | 'BadParameter'
  | 'InvalidKeyIdentifier'
  | 'UnsupportedApiVersion'
  | 'DecryptionFailed'
  | 'KeyNotFound'
  | 'KeyDisabled'
  | 'KeyNotYetValid'
  | 'KeyExpired'
  | 'KeyOperationForbidden'
  | 'AlgorithmDisabled'
  | 'EncryptionLimitReached'
  | 'KeyIsDeleted'
  | 'KeyExists'
  | 'KeyTooLarge'
  | 'MalformedBackupBlob'
  | 'BackupNotFound'
  | 'StorageRefused'
  | 'StorageUnavailable'
  | 'KeyIntegrityViolation'
  | 'PurgeProtected'
  | 'AttestationRejected'
  | 'AttestationAuthorityUnavailable'
  | 'ReleasePolicyNotMet'
  | 'RoleDefinitionNotFound'
  | 'RoleAssignmentNotFound'
  | 'RoleAssignmentExists'
  | 'RoleAssignedElsewhere'
  | 'RoleNameTaken'
  | 'LastAdministrator'
  | 'DirectoryObjectNotFound'
  | 'DirectoryObjectExists'
  | 'SettingNotFound'
  | 'AuthorizationFailed'
  | 'SubscriptionNotFound'
  | 'ResourceGroupNotFound'
  | 'ResourceNotFound'
  | 'MissingApiVersion'
  | 'PathNotFound'
  | 'PoolNotFound'
  | 'PoolNotActivated'
  | 'PoolRestoring'
  | 'AddressNotAllowed'
  | 'PayloadTooLarge'
  | 'UnsupportedMediaType'
  | 'Conflict'
  | 'NotImplemented'
  | 'HsmFull'
  | 'HsmBusy'
  | 'HsmUnavailable'
  | 'StoreUnavailable'
  | 'AuditUnavailable'
  | 'Overloaded';

/**
 * The one error that a caller may see. The message is for the caller: it never holds key material, plaintext, tokens or
 * secrets. The cause is for the log.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
