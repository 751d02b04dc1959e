import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import circus from 'jest-circus/runner';
import './register.mjs';

const require = createRequire(import.meta.url);
let suites = 0;

/**
 * Jest's own runner of tests, with suites that Node loads and not jest: jest would load all modules anew for each suite, in
 * a context of its own, in which every global name is looked up by a call. That took a third of what the suites take.
 */
export default function runSuite(globalConfig, config, environment, runtime, testPath, report) {
  suites += 1;
  const suite = `?suite=${suites}`;
  const own = {
    unstable_shouldLoadAsEsm: () => true,
    unstable_importModule: (file) => import(`${pathToFileURL(file).href}${suite}`),
    // The state of the tests is the module's: it is loaded anew.
    requireInternalModule(file) {
      delete require.cache[file];
      return require(file);
    },
    setGlobalsForRuntime(globals) {
      globalThis[Symbol.for('globals of the suite')] = globals;
    },
  };
  const withOwn = new Proxy(runtime, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name];
      const value = target[name];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return circus.default(globalConfig, config, environment, withOwn, testPath, report);
}
