import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { bundle } from './bundle.mjs';
import { fail, isInstalled, ROOT, say, succeeds } from './common.mjs';
import { alone } from './lock.mjs';

const DIST = join(ROOT, 'dist');
const NEXT_DIST = join(ROOT, '.dist-new');
const LAST_DIST = join(ROOT, '.dist-old');
const MODULES = join(ROOT, 'node_modules');
const DRIVER = join(MODULES, 'pkcs11js/build/Release/pkcs11.node');

/** Whether there is something to run, however old. */
export function isInPlace() {
  return existsSync(join(DIST, 'main.js')) && existsSync(MODULES);
}

/** Compiles where dist is not what the sources say. */
export async function ensureBuilt() {
  await ensureModules({ withDevelopment: false });
  if (isBuilt()) return;
  await ensureModules({ withDevelopment: true });
  await alone(() => {
    if (!isBuilt()) compile();
  });
}

export function build() {
  return alone(compile);
}

/** Installs the dependencies where they are missing or other than package-lock.json says. */
export async function ensureModules(wanted) {
  if (areModulesInstalled(wanted)) return;
  await alone(() => {
    if (!areModulesInstalled(wanted)) installModules();
  });
}

/** npm keeps an account of what it has installed, which it writes last. */
function areModulesInstalled({ withDevelopment }) {
  if (!existsSync(join(MODULES, 'pkcs11js'))) return false;
  const lock = readPackages(join(ROOT, 'package-lock.json'));
  // A deployment may come without the lock file; then what is there is what is meant.
  if (lock === undefined) return true;
  const installed = readPackages(join(MODULES, '.package-lock.json'));
  if (installed === undefined) return false;
  return Object.entries(lock).every(([path, wanted]) => {
    const found = installed[path];
    if (found !== undefined) return found.version === wanted.version;
    const isOptional = wanted.optional || wanted.devOptional || (wanted.dev && !withDevelopment);
    return path === '' || isOptional === true;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function installModules() {
  requireToolchain();
  say('installing the packages that package-lock.json names');
  const [program, ...first] = npm();
  // The compiler is among the development packages, whatever NODE_ENV or npm's `omit` says.
  const options = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  if (!succeeds(program, [...first, ...options], headers()))
    fail('npm could not install the packages; its own words are above.');
  if (!existsSync(DRIVER))
    fail(
      'the PKCS#11 driver was not compiled (are install scripts switched off?). Run: npm rebuild pkcs11js',
    );
}

/** The npm that runs this, where one does. */
function npm() {
  const path = process.env.npm_execpath ?? '';
  return basename(path) === 'npm-cli.js' ? [process.execPath, path] : ['npm'];
}

/**
 * Node's own headers, where it came with them: the compilation then needs no download. The name is node-gyp's for what
 * npm isn't to know.
 */
function headers() {
  const folder = dirname(dirname(process.execPath));
  const hasHeaders = existsSync(join(folder, 'include/node/node_api.h'));
  return hasHeaders ? { npm_package_config_node_gyp_nodedir: folder } : {};
}

/** pkcs11js comes as C++ source. */
function requireToolchain() {
  const missing = [
    isInstalled('python3') || isInstalled('python') ? [] : ['python3'],
    isInstalled('make') ? [] : ['make'],
    ['c++', 'g++', 'clang++'].some(isInstalled) ? [] : ['a C++ compiler'],
  ].flat();
  if (missing.length === 0) return;
  fail(
    `the PKCS#11 driver has to be compiled, and ${missing.join(' and ')} is missing. Install python3, make and g++ (Debian, Ubuntu: apt-get install python3 build-essential; Fedora: dnf install python3 make gcc-c++; Alpine: apk add python3 make g++; macOS: xcode-select --install).`,
  );
}

/** Into another folder first: a start at the same time finds the old build or the new one. */
function compile() {
  say('compiling');
  const hash = hashSources();
  rmSync(NEXT_DIST, { recursive: true, force: true });
  if (!bundle(NEXT_DIST)) {
    rmSync(NEXT_DIST, { recursive: true, force: true });
    fail('the sources do not compile; the bundler’s words are above.');
  }
  writeFileSync(join(NEXT_DIST, '.sources'), hash);
  rmSync(LAST_DIST, { recursive: true, force: true });
  if (existsSync(DIST)) renameSync(DIST, LAST_DIST);
  renameSync(NEXT_DIST, DIST);
  rmSync(LAST_DIST, { recursive: true, force: true });
}

function isBuilt() {
  if (!existsSync(join(DIST, 'main.js'))) return false;
  // A deployment may come without the sources.
  if (!existsSync(join(ROOT, 'src/main.ts'))) return true;
  try {
    return readFileSync(join(DIST, '.sources'), 'utf8') === hashSources();
  } catch {
    return false;
  }
}

/** By content: files that were copied or checked out have any time they like. */
function hashSources() {
  const hash = createHash('sha256');
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true })
    .filter((path) => path.endsWith('.ts'))
    .sort();
  for (const path of [
    'package-lock.json',
    'src/launch/bundle.mjs',
    ...sources.map((file) => join('src', file)),
  ])
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(ROOT, path)))
      .update('\0');
  return hash.digest('hex');
}
