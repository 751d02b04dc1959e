import { readdirSync, readFileSync } from 'node:fs';
import { packageFile } from '../core/package-file.ts';

/** Of this program. */
export interface Version {
  /** As package.json has it. */
  readonly version: string;
  /** The newest migration that it knows: it serves on that schema, and on one that later versions have only expanded. */
  readonly schema: string;
}

export function readVersion(): Version {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as {
    readonly version: string;
  };
  const [schema = ''] = readdirSync(packageFile('sql/'))
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .reverse();
  return { version, schema };
}
