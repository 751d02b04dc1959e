/** From where the data plane of a pool may be used. */
export interface NetworkRules {
  /** False: from nowhere, since there are no private endpoints. */
  readonly publicAccess: boolean;
  /** For an address that no rule names. */
  readonly defaultAction: 'Allow' | 'Deny';
  /** Azure's own services, of which there are none here: it is kept for clients that read it back. */
  readonly bypass: 'AzureServices' | 'None';
  /** Addresses and CIDR ranges that are let in. */
  readonly ipRules: readonly string[];
}
