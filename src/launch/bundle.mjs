import { basename, join } from 'node:path';
import process from 'node:process';
import { ROOT, succeeds } from './common.mjs';

const BUNDLER = join(ROOT, `node_modules/@esbuild/${process.platform}-${process.arch}/bin/esbuild`);

/** Files of dist that something else than an import names: processes, threads, and what tests load beside them. */
const ENTRIES = [
  'main',
  'process/worker',
  'hsm/module/operation-thread',
  'hsm/module/module-thread',
  'hsm/module/trial-process',
  'hsm/keys/generator-process',
  'compose/ceremony/ceremony-process',
  'compose/provisioning/provisioning-process',
  'backup/blob-thread',
  'cli/program',
  'hsm/module/session-pool',
  'store/transaction-builder',
];

/**
 * Packages that stay in node_modules: a driver and those that start threads find files of their own by path; the others are
 * loaded when they are needed, by import() of CommonJS, of which the bundler keeps the default export alone.
 */
const APART = [
  ...['pkcs11js', 'pg-native', 'pino', 'piscina', 'jsonc-parser'],
  ...['@opentelemetry/*', '@aws-sdk/*', '@smithy/*', '@azure/*'],
];

/** By which packages in CommonJS ask for Node's own modules. */
const REQUIRE =
  "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";

/**
 * Writes the service into a folder: its modules and those of its packages in few files, since loading a thousand takes two
 * fifths of what a start costs. What a process doesn't need it doesn't load: no file has modules that only others need.
 * @returns false where it doesn't compile, after the bundler's own words
 */
export function bundle(folder) {
  return succeeds(BUNDLER, [
    ...ENTRIES.map((entry) => `${basename(entry)}=src/${entry}.ts`),
    ...APART.map((name) => `--external:${name}`),
    ...['--bundle', '--splitting', '--platform=node', '--format=esm', '--target=node20'],
    ...['--sourcemap', '--sources-content=false', `--banner:js=${REQUIRE}`],
    ...['--log-level=warning', `--outdir=${folder}`],
  ]);
}
