// Prints, as JSON, what is in a token: label, class and whether it may leave. The first argument is the token's options.
import process from 'node:process';
import { findObjects, readAttributes } from '../../dist/modules/hsm/module/calls.js';
import { openToken } from '../../dist/modules/hsm/module/token.js';

const { loginSession, close } = openToken(JSON.parse(process.argv[2]));
const WANTED = { label: null, token: null, sensitive: null, extractable: null };
const objects = findObjects(loginSession, {}, 10_000).map((object) =>
  readAttributes(loginSession, object, WANTED),
);
close();
process.stdout.write(JSON.stringify(objects));
