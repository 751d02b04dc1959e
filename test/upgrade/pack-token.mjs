/** pack-token.mjs FOLDER FILE: the files of a SoftHSM2 token as JSON, their contents in base64. */
import process from 'node:process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, file] = process.argv.slice(2);
const files = readdirSync(folder, { recursive: true })
  .map(String)
  .filter((name) => statSync(join(folder, name)).isFile() && !name.endsWith('.lock'))
  .sort();
const contents = files.map((name) => [name, readFileSync(join(folder, name)).toString('base64')]);
writeFileSync(file, `${JSON.stringify(Object.fromEntries(contents), null, 2)}\n`);
