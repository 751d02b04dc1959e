/** @type {import('dependency-cruiser').IConfiguration} */
const ADAPTERS = 'hsm|store|authz|identity|audit|backup|attestation|http|observability|setup';
const owns = (name, folder, packages) => ({
  name,
  severity: 'error',
  from: { path: '^src', pathNot: `^src/(${folder})` },
  to: { path: `node_modules/(${packages})/` },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'core-imports-only-core',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: '^src/core/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'adapters-are-strangers',
      severity: 'error',
      from: { path: `^src/(${ADAPTERS})/` },
      to: { path: `^src/(${ADAPTERS})/`, pathNot: '^src/$1/' },
    },
    {
      name: 'nobody-imports-the-root',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/(main\\.ts$|cli/|process/|compose/)',
      },
      to: { path: '^src/(main\\.ts$|cli/|process/|compose/)' },
    },
    {
      name: 'the-store-never-asks-the-hsm',
      comment: 'An HSM call inside a transaction holds a connection for as long as it takes.',
      severity: 'error',
      from: { path: '^src/store/' },
      to: { path: '^src/core/(keys/hsm|release/key-release)\\.ts$' },
    },
    owns('only-hsm-speaks-pkcs11', 'hsm/', 'graphene-pk11|pkcs11js'),
    owns('only-store-speaks-sql', 'store/', 'kysely|pg'),
    owns('only-authz-speaks-casbin', 'authz/', 'casbin'),
    owns('only-http-speaks-express', 'http/', 'express'),
    owns('only-observability-speaks-prometheus', 'observability/', 'prom-client'),
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default'],
    },
  },
};
