import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../src/core/diagnosis/finding.ts';
import type { Capabilities } from '../../src/hsm/capabilities/capabilities.ts';
import type { Refusal } from './operations.ts';
import type { Found } from './trial.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** What `strongroom doctor --json` says of a module alone. */
export interface Examined {
  readonly sections: readonly { readonly findings: readonly Finding[] }[];
  /** Absent where the module can't be opened, or keeps no keys. */
  readonly capabilities?: Capabilities;
}

/** Beside a victim's requests. */
interface Beside {
  readonly garbage: number;
  readonly victim: number;
  readonly refused: number;
}

/** What table.ts makes a row of. */
export interface ModuleRecord {
  readonly name: string;
  readonly examined?: Examined;
  readonly found?: Found;
  readonly refusals?: readonly Refusal[];
  readonly beside?: Beside;
}

/** Keeps figures in the folder MODULES_RECORD, where there is one. */
export async function keep(part: 'trial' | 'victim', record: ModuleRecord): Promise<void> {
  const folder = process.env['MODULES_RECORD'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${record.name}.${part}.json`), JSON.stringify(record));
}

/** Asks `strongroom doctor` about the module that an environment names. */
export async function examine(environment: Readonly<Record<string, string>>): Promise<Examined> {
  const {
    PKCS11_MODULE: module = '',
    PKCS11_TOKEN_LABEL: label = '',
    PKCS11_PIN: pin = '',
    PKCS11_LIBRARY_PARAMETERS: parameters,
    ...rest
  } = environment;
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const pinFile = join(folder, 'pin');
  await writeFile(pinFile, `${pin}\n`);
  const more = parameters === undefined ? [] : ['--library-parameters', parameters];
  const words = ['--module', module, '--token-label', label, '--pin-file', pinFile, ...more];
  const output = await new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      [MAIN, 'doctor', '--json', ...words],
      { env: { PATH: process.env['PATH'], ...rest } },
      // It ends with 1 where it warns.
      (_error, stdout) => {
        resolve(stdout);
      },
    );
  });
  await rm(folder, { recursive: true, force: true });
  return JSON.parse(output) as Examined;
}
