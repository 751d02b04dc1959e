// Makes the SoftHSM2 token of a production start where there is none, before the service starts. It reads the settings that the
// service has: PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE; and SOFTHSM2_CONF, whose file it writes: the tokens lie
// beside it. A process that was cut off leaves tokens.new/ at most, which the next one removes.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, URL } from 'node:url';

/** In the image beside this file's folder, in the repository above it. */
const SOFTHSM = ['../softhsm/', '../../softhsm/']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));
const config = setting('SOFTHSM2_CONF');
const folder = dirname(config);
const tokens = join(folder, 'tokens');

process.umask(0o077);
mkdirSync(folder, { recursive: true });
if (existsSync(tokens)) {
  say(`the token in ${tokens} is there already`);
} else {
  const made = join(folder, 'tokens.new');
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made);
  initialise(made);
  renameSync(made, tokens);
  say(`made a token in ${tokens}`);
}
writeConfiguration(config, tokens);

function initialise(made) {
  const temporary = `${config}.new`;
  writeConfiguration(temporary, made);
  const token = {
    module: setting('PKCS11_MODULE'),
    label: setting('PKCS11_TOKEN_LABEL'),
    pin: readFileSync(setting('PKCS11_PIN_FILE'), 'utf8').trim(),
    // All it could do is set another user PIN: a secret that isn't kept can't leak.
    soPin: randomBytes(24).toString('base64url'),
  };
  const { status } = spawnSync(process.execPath, [join(SOFTHSM, 'init-token.mjs')], {
    env: { SOFTHSM2_CONF: temporary },
    input: JSON.stringify(token),
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  rmSync(temporary);
  if (status !== 0) fail('SoftHSM2 could not make a token.');
}

function writeConfiguration(file, tokenFolder) {
  const template = readFileSync(join(SOFTHSM, 'softhsm2.conf.template'), 'utf8');
  writeFileSync(
    file,
    template.replace('@TOKEN_FOLDER@', () => tokenFolder),
  );
}

function setting(name) {
  const value = process.env[name];
  if (!value) fail(`${name} is missing.`);
  return value;
}

function say(sentence) {
  process.stderr.write(`strongroom: ${sentence}\n`);
}

function fail(sentence) {
  say(sentence);
  process.exit(1);
}
