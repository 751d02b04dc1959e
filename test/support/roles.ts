/** The ids of the built-in roles, which are Azure's own: "Managed HSM Crypto Officer" is `officer`, and so on. */
export const ROLE = {
  administrator: 'a290e904-7015-4bba-90c8-60543313cdb4',
  officer: '515eb02d-2335-4d2d-92f2-b1cbdf9c3778',
  user: '21dbd100-6940-42c2-9190-5d6cb909625b',
  policyAdministrator: '4bd23610-cdcf-4971-bdee-bdc562cc28e4',
  auditor: '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3',
  encryptionUser: '33413926-3206-4cdd-b39a-83574fe37a17',
  releaseUser: '21dbd100-6940-42c2-9190-5d6cb909625c',
  backup: '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8',
  restore: '6efe6056-5259-49d2-8b3d-d3d73544b20b',
} as const;
