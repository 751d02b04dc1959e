import type { NetworkRules } from '../../core/pool/network-rules.ts';
import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import type { ManagedHsm } from '../../core/resources/managed-hsm.ts';
import type { WrittenHsm } from '../../core/resources/managed-hsm-changes.ts';
import { parseLocation } from '../../core/resources/names.ts';
import { parseResourceTags } from '../../core/resources/tags.ts';
import { isAddressRange } from '../../network/network-rules.ts';
import { optional } from '../values/optional.ts';
import { oneOf, text } from '../values/text.ts';
import { managedHsmPath } from './resource-path.ts';

const IP_RULES_LIMIT = 1_000;
const rules = <Rule>(rule: z.ZodType<Rule>) => optional(z.array(rule).max(IP_RULES_LIMIT));

const NetworkAcls = z.object({
  bypass: optional(oneOf(['azureservices', 'none'])),
  defaultAction: optional(oneOf(['allow', 'deny'])),
  ipRules: rules(z.object({ value: text(64) })),
  // Each is refused, whatever it says.
  virtualNetworkRules: rules(z.object({})),
  serviceTags: rules(z.object({})),
});

/** az writes its numbers as texts. */
const days = z.union([z.number(), text(4).transform(Number)]).pipe(z.number().int().min(7).max(90));

const Properties = z.object({
  tenantId: optional(text(64)),
  initialAdminObjectIds: optional(z.array(text(256))),
  enableSoftDelete: optional(z.boolean()),
  softDeleteRetentionInDays: optional(days),
  enablePurgeProtection: optional(z.boolean()),
  createMode: optional(oneOf(['default', 'recover'])),
  networkAcls: optional(NetworkAcls),
  publicNetworkAccess: optional(oneOf(['enabled', 'disabled'])),
  regions: optional(z.array(z.object({ name: optional(text(128)) }))),
});

const NO_PROPERTIES = Properties.parse({});

/** Of PUT and PATCH: what only the service says is passed over, as clients send it back. */
export const ManagedHsmRequest = z.object({
  location: optional(text(128)),
  tags: optional(z.record(text(512), text(256))),
  sku: optional(z.object({ family: optional(text(16)), name: text(64) })),
  identity: optional(z.object({ type: optional(text(64)) })),
  properties: optional(Properties),
});

/**
 * @param isTenant whether the tenant is called so
 * @throws ServiceError BadParameter for what isn't here: other tenants, regions, virtual networks, identities
 */
export function readManagedHsmRequest(
  {
    location: given,
    tags,
    sku,
    identity,
    properties = NO_PROPERTIES,
  }: z.infer<typeof ManagedHsmRequest>,
  isTenant: (tenant: string) => boolean,
): WrittenHsm {
  const location = given === undefined ? undefined : parseLocation(given);
  const { tenantId, regions = [], networkAcls } = properties;
  if (tenantId !== undefined && !isTenant(tenantId))
    throw refused('properties.tenantId is another tenant');
  if (properties.enableSoftDelete === false)
    throw refused('properties.enableSoftDelete can not be switched off');
  if (regions.some(({ name = '' }) => parseLocation(name) !== location))
    throw refused('properties.regions may name the location alone: a pool is in one place here');
  const { virtualNetworkRules = [], serviceTags = [] } = networkAcls ?? {};
  if (virtualNetworkRules.length + serviceTags.length > 0)
    throw refused(
      'properties.networkAcls may have ipRules alone: there are no virtual networks or service tags here',
    );
  if (identity !== undefined && !/^none$/i.test(identity.type ?? 'none'))
    throw refused('identity can not be given: a pool needs none for its backups here');
  return {
    recovers: properties.createMode === 'recover',
    location,
    tags: tags && parseResourceTags(tags),
    sku: sku && { family: sku.family ?? 'B', name: sku.name },
    softDeleteDays: properties.softDeleteRetentionInDays,
    purgeProtection: properties.enablePurgeProtection,
    administrators: properties.initialAdminObjectIds,
    network: readNetwork(properties),
  };
}

function readNetwork({
  networkAcls,
  publicNetworkAccess,
}: z.infer<typeof Properties>): NetworkRules | undefined {
  if (networkAcls === undefined && publicNetworkAccess === undefined) return undefined;
  const ipRules = (networkAcls?.ipRules ?? []).map(({ value }) => value);
  const wrong = ipRules.find((range) => !isAddressRange(range));
  if (wrong !== undefined)
    throw refused('properties.networkAcls.ipRules are addresses, or ranges such as 203.0.113.0/24');
  return {
    publicAccess: publicNetworkAccess !== 'disabled',
    defaultAction: networkAcls?.defaultAction === 'deny' ? 'Deny' : 'Allow',
    bypass: networkAcls?.bypass === 'none' ? 'None' : 'AzureServices',
    ipRules,
  };
}

function refused(why: string): ServiceError {
  return new ServiceError('BadParameter', `The property ${why}.`);
}

/** What is known of a Managed HSM besides its row. */
export interface HsmSurroundings {
  readonly tenantId: string;
  readonly uri: string;
  /** Whether its keys may be used; undefined where nobody has asked. */
  readonly isActive?: boolean;
}

export function serializeManagedHsm(hsm: ManagedHsm, around: HsmSurroundings) {
  const { network, state } = hsm;
  const isMade = state === 'Succeeded' || state === 'Updating';
  return {
    id: managedHsmPath(hsm),
    name: hsm.name,
    type: 'Microsoft.KeyVault/managedHSMs',
    location: hsm.location,
    sku: hsm.sku,
    tags: hsm.tags,
    properties: {
      tenantId: around.tenantId,
      hsmUri: isMade ? around.uri : null,
      initialAdminObjectIds: hsm.administrators,
      enableSoftDelete: true,
      softDeleteRetentionInDays: hsm.softDeleteDays,
      enablePurgeProtection: hsm.purgeProtection,
      provisioningState: state,
      statusMessage: hsm.statusMessage,
      networkAcls: {
        bypass: network.bypass,
        defaultAction: network.defaultAction,
        ipRules: network.ipRules.map((value) => ({ value })),
        virtualNetworkRules: [],
        serviceTags: [],
      },
      publicNetworkAccess: network.publicAccess ? 'Enabled' : 'Disabled',
      regions: [],
      privateEndpointConnections: [],
      securityDomainProperties:
        around.isActive === undefined
          ? undefined
          : around.isActive
            ? { activationStatus: 'Active', activationStatusMessage: 'The pool is activated.' }
            : {
                activationStatus: 'NotActivated',
                activationStatusMessage:
                  'Its keys can be used once its security domain has been downloaded.',
              },
    },
  };
}

export function serializeDeleted(hsm: ManagedHsm) {
  const { deleted, location, subscriptionId, name } = hsm;
  return {
    id: `/subscriptions/${subscriptionId}/providers/Microsoft.KeyVault/locations/${location}/deletedManagedHSMs/${name}`,
    name,
    type: 'Microsoft.KeyVault/deletedManagedHSMs',
    properties: {
      mhsmId: managedHsmPath(hsm),
      location,
      deletionDate: deleted?.at,
      scheduledPurgeDate: deleted?.purgeAt,
      purgeProtectionEnabled: hsm.purgeProtection,
      tags: hsm.tags,
    },
  };
}
