// Prints what a module can do, as JSON, or the sentence with which it is refused. Its environment names the module.
import process from 'node:process';
import { openToken } from '../../../dist/modules/hsm/module/token.js';
import { probeCapabilities } from '../../../dist/modules/hsm/capabilities/probe.js';

try {
  const { keyWrapMechanism, ...options } = JSON.parse(process.argv[2]);
  const token = openToken(options);
  const { loginSession, facts } = token;
  const module = facts.description;
  const count = () => loginSession.find({}).length;
  const before = count();
  const capabilities = probeCapabilities(loginSession, {
    module,
    isSoftware: facts.isSoftware,
    keyWrapMechanism,
  });
  const left = count() - before;
  token.close();
  process.stdout.write(JSON.stringify({ capabilities, left }));
} catch (error) {
  process.stdout.write(JSON.stringify({ refused: error.message, kind: error.constructor.name }));
}
