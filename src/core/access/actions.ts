const PREFIX = 'Microsoft.KeyVault/managedHsm/';

/** Azure's data actions without their common prefix. The suffix matters: some end in /action, some don't. */
const AZURE = [
  'keys/read/action',
  'keys/write/action',
  'keys/create',
  'keys/delete',
  'keys/rotate/action',
  'keys/import/action',
  'keys/export/action',
  'keys/release/action',
  'keys/backup/action',
  'keys/restore/action',
  'keys/encrypt/action',
  'keys/decrypt/action',
  'keys/wrap/action',
  'keys/unwrap/action',
  'keys/sign/action',
  'keys/verify/action',
  'keys/derive/action',
  'keys/deletedKeys/read/action',
  'keys/deletedKeys/recover/action',
  'keys/deletedKeys/delete',
  'rng/action',
  'roleAssignments/read/action',
  'roleAssignments/write/action',
  'roleAssignments/delete/action',
  'roleDefinitions/read/action',
  'roleDefinitions/write/action',
  'roleDefinitions/delete/action',
  'securitydomain/download/action',
  'securitydomain/download/read',
  'securitydomain/upload/action',
  'securitydomain/upload/read',
  'securitydomain/transferkey/read',
  'backup/start/action',
  'backup/status/action',
  'restore/start/action',
  'restore/status/action',
  'settings/read/action',
  'settings/write/action',
] as const;

/** Actions for what Managed HSM keeps elsewhere: the audit log and the built-in directory. */
const OWN = [
  'Strongroom/audit/read/action',
  'Strongroom/directory/read/action',
  'Strongroom/directory/write/action',
  'Strongroom/access/explain/action',
] as const;

export type Action = `${typeof PREFIX}${(typeof AZURE)[number]}` | (typeof OWN)[number];

export const ACTIONS: readonly Action[] = [
  ...AZURE.map((action): Action => `${PREFIX}${action}`),
  ...OWN,
];

/** The full name of one of Azure's data actions: `action('keys/sign/action')`. */
export function action(name: (typeof AZURE)[number]): Action {
  return `${PREFIX}${name}`;
}
