import { ANSWER_WITHHELD } from '../../core/audit/record.ts';
import { AuditDraft } from '../../core/audit/draft.ts';
import { ServiceError } from '../../core/errors.ts';
import type { AuditLog } from '../../core/audit/ports.ts';
import type { Clock } from '../../core/clock.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { Refusals } from '../error-handler.ts';
import type { IdentityResponse, IdentityCall } from './managed-identity.ts';

export interface AuditedIdentityParts {
  readonly respond: (call: IdentityCall) => Promise<
    IdentityResponse & {
      /** The client that was found, for the record. */
      readonly client?: { readonly applicationId: string; readonly principalId?: string };
      readonly errorCode?: string;
    }
  >;
  readonly auditLog: AuditLog;
  readonly refusals: Refusals;
  readonly clock: Clock;
}

/** What workloads ask of the identity endpoint, with a record of each before the response. */
export function auditIdentityCalls({ respond, auditLog, refusals, clock }: AuditedIdentityParts) {
  function begin({ requestId, address, userAgent }: IdentityCall): AuditDraft {
    const operation = 'ManagedIdentityTokenIssue';
    const known = { requestId, operation, clientAddress: address, userAgent };
    return new AuditDraft(clock.now, known);
  }

  async function record(audit: AuditDraft, status: number, errorCode?: string): Promise<void> {
    const finished = audit.finish(withoutUndefined({ status, errorCode }));
    if (status >= 400 && !refusals.admit(finished)) return;
    try {
      await auditLog.append(finished);
    } catch (error) {
      auditLog.appendLater(audit.finish({ status: 503, errorCode: ANSWER_WITHHELD }));
      throw error;
    }
  }

  return {
    /** @throws whatever kept it from a response, once that is recorded or will be */
    async respond(call: IdentityCall): Promise<IdentityResponse> {
      const audit = begin(call);
      const { client, errorCode, ...given } = await respond(call).catch((error: unknown) => {
        const code = error instanceof ServiceError ? error.code : 'InternalServerError';
        auditLog.appendLater(audit.finish({ status: 503, errorCode: code }));
        throw error;
      });
      audit.note({ ...client });
      await record(audit, given.status, errorCode);
      return given;
    },
    /** What was passed on by another program isn't answered. */
    passedOn: (call: IdentityCall) => record(begin(call), 403, 'PassedOn'),
  };
}
