import process from 'node:process';

/** Where jest-circus keeps what it knows of the tests of a suite, and whom it tells of them. */
const OF_A_SUITE = new Set(['JEST_STATE_SYMBOL', 'EVENT_HANDLERS']);

/** The global object is Node's own. What a suite changes of the process is put back at its end. */
export default class SuiteEnvironment {
  global = globalThis;
  /** Nothing is mocked: fakes are passed in. */
  moduleMocker = { restoreAllMocks: () => undefined };
  #before = { console: globalThis.console, exit: process.exit, environment: { ...process.env } };

  async setup() {}

  async teardown() {
    globalThis.console = this.#before.console;
    process.exit = this.#before.exit;
    for (const name of Object.keys(process.env))
      if (!Object.hasOwn(this.#before.environment, name)) delete process.env[name];
    for (const [name, value] of Object.entries(this.#before.environment))
      if (process.env[name] !== value) process.env[name] = value;
    for (const symbol of Object.getOwnPropertySymbols(globalThis))
      if (OF_A_SUITE.has(symbol.description)) delete globalThis[symbol];
  }

  exportConditions() {
    return ['node', 'node-addons'];
  }

  getVmContext() {
    return null;
  }
}
