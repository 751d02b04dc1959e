/**
 * What is done on the control plane, by the names that Azure Resource Manager's providers give their operations. Whoever may
 * do all of it may use no key: the data plane has actions of its own.
 */
export const CONTROL_ACTIONS = [
  'Microsoft.Resources/subscriptions/read',
  'Microsoft.Resources/subscriptions/locations/read',
  'Microsoft.Resources/subscriptions/providers/read',
  'Microsoft.Resources/subscriptions/resources/read',
  'Microsoft.Resources/subscriptions/resourceGroups/read',
  'Microsoft.Resources/subscriptions/resourceGroups/write',
  'Microsoft.Resources/subscriptions/resourceGroups/delete',
  'Microsoft.KeyVault/checkMhsmNameAvailability/read',
  'Microsoft.KeyVault/vaults/read',
  'Microsoft.KeyVault/managedHSMs/read',
  'Microsoft.KeyVault/managedHSMs/write',
  'Microsoft.KeyVault/managedHSMs/delete',
  'Microsoft.KeyVault/deletedManagedHsms/read',
  'Microsoft.KeyVault/locations/deletedManagedHsms/read',
  'Microsoft.KeyVault/locations/deletedManagedHsms/purge/action',
  'Microsoft.KeyVault/locations/managedHsmOperationResults/read',
  'Microsoft.Authorization/roleDefinitions/read',
  'Microsoft.Authorization/roleAssignments/read',
  'Microsoft.Authorization/roleAssignments/write',
  'Microsoft.Authorization/roleAssignments/delete',
] as const;

export type ControlAction = (typeof CONTROL_ACTIONS)[number];
