/** Who calls, as proved by a credential. What it may do is not known here. */
export interface Principal {
  /** The directory that vouches for it: the built-in directory's GUID, or an external issuer's tenant. */
  readonly tenantId: string;
  /** Names it in role assignments (the `oid` claim). */
  readonly objectId: string;
  /** The client application (`appid` or `azp`), where there is one. */
  readonly applicationId?: string;
  readonly displayName?: string;
  /** Object ids of the groups that it belongs to; each counts as a principal in role assignments. */
  readonly groups: readonly string[];
  /** Other object ids that it would have without its record in the directory. */
  readonly alsoKnownAs?: readonly string[];
  /** Its issuer names groups in its tokens, and this one lacks them, or some of them. */
  readonly hasUnknownGroups?: true;
}
