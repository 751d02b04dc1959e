import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath, URL } from 'node:url';

/** Hooks by which Node itself loads suites: TypeScript as it is, and what is the suite's own for each suite anew. */

const TESTS = new URL('../../', import.meta.url).href;
const GLOBALS = new URL('./globals.mjs', import.meta.url).href;
const STRIPPED = new URL('../../../node_modules/.cache/stripped-types/', import.meta.url);
const SUITE = /\?suite=\d+$/;

/** Sources without their types, by URL: each of jest's processes loads the modules of `test` many times. */
const known = new Map();

/** Modules of `test` belong to the suite that imports them; those of `src` and of packages are loaded once in a process. */
export async function resolve(specifier, context, next) {
  const suite = SUITE.exec(context.parentURL ?? '')?.[0] ?? '';
  if (specifier === '@jest/globals') return { url: `${GLOBALS}${suite}`, shortCircuit: true };
  const resolved = await next(specifier, context);
  const { url } = resolved;
  if (suite === '' || !url.startsWith(TESTS) || !url.endsWith('.ts')) return resolved;
  return { ...resolved, url: `${url}${suite}` };
}

export async function load(url, context, next) {
  const file = url.replace(SUITE, '');
  if (!file.endsWith('.ts')) return next(url, context);
  if (!known.has(file)) known.set(file, stripped(fileURLToPath(file)));
  return { format: 'module', source: await known.get(file), shortCircuit: true };
}

/** What is left is where it was, so that the lines of errors need no map. Kept by content: no suite waits for it twice. */
async function stripped(file) {
  const text = await readFile(file, 'utf8');
  const kept = new URL(createHash('sha256').update(text).digest('hex'), STRIPPED);
  const before = await readFile(kept, 'utf8').catch(() => undefined);
  if (before !== undefined) return before;
  const { default: blankTypes } = await import('ts-blank-space');
  const source = blankTypes(text, (node) => {
    throw new SyntaxError(`${file}: types alone can be taken away, not "${node.getText()}"`);
  });
  await mkdir(STRIPPED, { recursive: true });
  // Whole or not at all: other processes read it.
  const unfinished = new URL(randomUUID(), STRIPPED);
  await writeFile(unfinished, source);
  await rename(unfinished, kept);
  return source;
}
