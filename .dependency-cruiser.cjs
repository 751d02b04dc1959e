/**
 * Imports point one way: main → cli → process → compose → adapters → network → core. Adapters never import each other; what
 * two of them share is a port in core. Each folder of src has a line here, with the folders that it may import besides
 * itself; test/imports proves each rule by a file that breaks it.
 */
const SHARED = ['network', 'core'];
const ADAPTERS = [
  'attestation',
  'audit',
  'authz',
  'backup',
  'hsm',
  'http',
  'identity',
  'observability',
  'store',
];
const MAY_IMPORT = {
  main: ['cli'],
  cli: ['process', 'compose', ...ADAPTERS, ...SHARED, 'config', 'setup'],
  process: ['compose', ...ADAPTERS, ...SHARED, 'config'],
  compose: [...ADAPTERS, ...SHARED, 'config'],
  ...Object.fromEntries(ADAPTERS.map((name) => [name, SHARED])),
  network: ['core'],
  core: [],
  config: ['core'],
  setup: ['core'],
  launch: [],
};

/** main is a file, the others are folders. */
const inside = (names) =>
  `^src/(${names.map((name) => (name === 'main' ? 'main\\.ts$' : `${name}/`)).join('|')})`;

const importsDownwards = Object.entries(MAY_IMPORT).map(([name, others]) => ({
  name: `${name}-imports-downwards`,
  severity: 'error',
  from: { path: inside([name]) },
  to: { path: '^src/', pathNot: inside([name, ...others]) },
}));

const owns = (owner, packages) => ({
  name: `only-${owner}-imports-${packages[0]}`,
  severity: 'error',
  from: { path: '^src/', pathNot: inside([owner]) },
  to: { path: `(^|/)node_modules/(${packages.join('|')})/` },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'each-folder-has-a-rule',
      comment: 'A new folder needs a line in MAY_IMPORT.',
      severity: 'error',
      from: { path: '^src/', pathNot: inside(Object.keys(MAY_IMPORT)) },
      to: {},
    },
    ...importsDownwards,
    {
      name: 'core-does-no-input-or-output',
      comment: 'Of packages and of what Node brings, core has only what computes.',
      severity: 'error',
      from: { path: inside(['core']) },
      to: { pathNot: '^(src/|(node:)?(crypto|util|timers/promises)$)' },
    },
    {
      name: 'launch-needs-no-package',
      comment: 'It runs before packages are installed.',
      severity: 'error',
      from: { path: inside(['launch']) },
      to: { path: '(^|/)node_modules/' },
    },
    {
      name: 'the-store-never-calls-the-hsm',
      comment: 'An HSM call inside a transaction holds a connection for as long as it takes.',
      severity: 'error',
      from: { path: inside(['store']) },
      to: { path: '^src/core/(keys/hsm|release/key-release)\\.ts$' },
    },
    owns('hsm', ['graphene-pk11', 'pkcs11js']),
    owns('store', ['kysely', 'pg']),
    owns('authz', ['casbin']),
    owns('http', ['express', 'helmet']),
    owns('observability', ['prom-client']),
    owns('cli', ['commander']),
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
