import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { onceARun } from './once-a-run.ts';

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../dist/modules/', import.meta.url));

/** Each module stays a file, and imports the others by the names of those. */
const oneByOne: Plugin = {
  name: 'one-by-one',
  setup(bundler) {
    bundler.onResolve({ filter: /^\.\.?\// }, ({ path }) => ({
      path: path.replace(/\.ts$/, '.js'),
      external: true,
    }));
  },
};

/**
 * Compiles the modules of src one by one, for scripts in processes of their own that run a part of the service: dist has
 * them in few files, where they can't be told apart.
 * @returns the folder, which ends in a slash
 */
export async function buildModules(): Promise<string> {
  const files = await readdir(SOURCE, { recursive: true });
  await build({
    entryPoints: files.filter((file) => file.endsWith('.ts')).map((file) => join(SOURCE, file)),
    outdir: FOLDER,
    outbase: SOURCE,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    plugins: [oneByOne],
  });
  return FOLDER;
}

/** The same, by the first suite of a run that asks. */
export function modulesFolder(): Promise<string> {
  return onceARun('modules', buildModules);
}
