import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ModuleAtHand } from './trial.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('ml-dsa-vectors.ts', import.meta.url));

/** How many of Wycheproof's vectors of ML-DSA came out how, by file, and those that came out wrong. */
export async function askVectors(
  prepare: () => Promise<ModuleAtHand>,
): Promise<Record<string, { readonly counts: string; readonly disagreements: readonly string[] }>> {
  const module = await prepare();
  try {
    const { PKCS11_MODULE, PKCS11_TOKEN_LABEL, PKCS11_PIN, ...environment } = module.environment;
    const token = { module: PKCS11_MODULE, tokenLabel: PKCS11_TOKEN_LABEL, pin: PKCS11_PIN };
    const { stdout } = await run(
      process.execPath,
      ['--import', 'tsx', SCRIPT, JSON.stringify(token)],
      { env: { PATH: process.env['PATH'], ...environment } },
    );
    return JSON.parse(stdout) as Awaited<ReturnType<typeof askVectors>>;
  } finally {
    await module.remove();
  }
}
