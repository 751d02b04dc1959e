import { findNodeAtLocation, parseTree, type ParseError, printParseErrorCode } from 'jsonc-parser';
import { z } from 'zod';
import { isGuid } from '../../core/guid.ts';
import { isIssuerUrl } from '../../core/directory/issuer-url.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { deriveObjectId, type ExternalIssuer } from './external-issuer.ts';
import { ASYMMETRIC } from '../tokens/jwt.ts';

/** What is wrong with the file, and in which line. */
export class IssuersFileError extends OperatorError {
  override readonly name = 'IssuersFileError';
}

const ISSUERS_LIMIT = 100;

const text = z.string().min(1).max(512);
const claim = z
  .union([text, z.array(text).min(1).max(8)])
  .transform((path) => [path].flat() as readonly string[]);
const safeUrl = text.refine(isIssuerUrl, {
  message: 'must be an https URL without query, fragment or password',
});

const Issuer = z
  .strictObject({
    issuer: safeUrl,
    tenantId: text.max(128).optional(),
    audiences: z.array(text).min(1).max(50),
    jwksUri: safeUrl.optional(),
    algorithms: z
      .array(z.enum(ASYMMETRIC))
      .min(1)
      .default([...ASYMMETRIC]),
    objectIds: z.enum(['claim', 'derived']).default('derived'),
    principalClaim: claim.default(['sub']),
    applicationClaim: claim.default(['azp']),
    displayNameClaim: claim.default(['name']),
    groupsClaim: claim.optional(),
    tenantClaim: claim.optional(),
  })
  .refine(({ objectIds, tenantId }) => objectIds === 'derived' || isGuid(tenantId ?? ''), {
    message: 'objectIds "claim" wants the tenantId, a GUID',
    path: ['objectIds'],
  })
  .refine(({ tenantClaim, tenantId }) => tenantClaim === undefined || tenantId !== undefined, {
    message: 'a tenantClaim wants the tenantId that it has to be',
    path: ['tenantClaim'],
  });

const File = z.strictObject({
  issuers: z
    .array(Issuer)
    .max(ISSUERS_LIMIT)
    .superRefine((issuers, context) => {
      for (const [index, { issuer }] of issuers.entries())
        if (issuers.findIndex((other) => other.issuer === issuer) < index)
          context.addIssue({
            code: 'custom',
            path: [index, 'issuer'],
            message: 'is there already',
          });
    }),
});

/**
 * Reads the text of an issuers file (JSON, RFC 8259).
 * @throws IssuersFileError that says what is wrong in which line
 */
export function parseIssuers(content: string): readonly ExternalIssuer[] {
  const errors: ParseError[] = [];
  const tree = parseTree(content, errors, { disallowComments: true });
  const [first] = errors;
  if (first !== undefined || tree === undefined)
    throw new IssuersFileError(
      `line ${lineOf(content, first?.offset ?? 0)}: this is no JSON (${
        first === undefined ? 'it is empty' : printParseErrorCode(first.error)
      })`,
    );
  const result = File.safeParse(JSON.parse(content));
  if (!result.success) {
    const [issue] = result.error.issues;
    const path = (issue?.path ?? []).map((part) => (typeof part === 'symbol' ? '' : part));
    // A member that isn't there has no line: then that of what it is missing from.
    let node = findNodeAtLocation(tree, path);
    for (let depth = path.length - 1; node === undefined && depth >= 0; depth -= 1)
      node = findNodeAtLocation(tree, path.slice(0, depth));
    throw new IssuersFileError(
      `line ${lineOf(content, node?.offset ?? 0)}: ${path.join('.')}: ${issue?.message ?? 'is wrong'}`,
    );
  }
  return result.data.issuers.map(toIssuer);
}

function toIssuer(read: z.infer<typeof Issuer>): ExternalIssuer {
  const { issuer, audiences, jwksUri, algorithms, objectIds, groupsClaim, tenantClaim } = read;
  return {
    issuer,
    tenantId: read.tenantId?.toLowerCase() ?? deriveObjectId(issuer, 'principal', ''),
    audiences,
    ...withoutUndefined({ jwksUri }),
    algorithms,
    claims: {
      principal: read.principalClaim,
      application: read.applicationClaim,
      displayName: read.displayNameClaim,
      ...withoutUndefined({ groups: groupsClaim, tenant: tenantClaim }),
    },
    objectIds,
  };
}

function lineOf(content: string, offset: number): number {
  return content.slice(0, offset).split('\n').length;
}
