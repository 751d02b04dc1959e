// Makes root keys in a token, and prints what becomes of it. The first argument is the token's options as JSON.
import process from 'node:process';
import { createRootKeys } from '../../../dist/modules/hsm/keys/root-keys.js';
import { openToken } from '../../../dist/modules/hsm/module/token.js';

const { loginSession, close } = openToken(JSON.parse(process.argv[2]));
const count = () => loginSession.find({}).length;
const before = count();
const print = (more) => process.stdout.write(JSON.stringify({ left: count() - before, ...more }));
try {
  createRootKeys(loginSession, 'a pool of a test', 1);
  print({});
} catch (error) {
  print({ refused: error.message, kind: error.constructor.name });
}
close();
