import type { NetworkRules } from '../../core/pool/network-rules.ts';
import type { ManagedHsm } from '../../core/resources/managed-hsm.ts';
import type { ResourceTags } from '../../core/resources/tags.ts';
import type { ManagedHsmRow } from '../tables.ts';

export function toManagedHsm(row: ManagedHsmRow): ManagedHsm {
  const { deleted_at: at, purge_at: purgeAt } = row;
  return {
    name: row.name,
    subscriptionId: row.subscription_id,
    groupName: row.group_name,
    location: row.location,
    sku: { family: row.sku_family, name: row.sku_name },
    tags: row.tags as ResourceTags,
    softDeleteDays: row.soft_delete_days,
    purgeProtection: row.purge_protection,
    administrators: row.administrators,
    network: row.network as NetworkRules,
    state: row.state,
    statusMessage: row.status_message,
    ...(at !== null && purgeAt !== null && { deleted: { at, purgeAt } }),
  };
}

/** All but those by which it is found. */
export function columnsOf(hsm: ManagedHsm) {
  return {
    name: hsm.name,
    subscription_id: hsm.subscriptionId,
    group_key: hsm.groupName.toLowerCase(),
    group_name: hsm.groupName,
    location: hsm.location,
    sku_family: hsm.sku.family,
    sku_name: hsm.sku.name,
    tags: JSON.stringify(hsm.tags),
    soft_delete_days: hsm.softDeleteDays,
    purge_protection: hsm.purgeProtection,
    administrators: [...hsm.administrators],
    network: JSON.stringify(hsm.network),
    state: hsm.state,
    status_message: hsm.statusMessage,
    deleted_at: hsm.deleted?.at ?? null,
    purge_at: hsm.deleted?.purgeAt ?? null,
  };
}
