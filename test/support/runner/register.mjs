import { register } from 'node:module';

// Once in a process, however many suites it runs.
register('./loader.mjs', import.meta.url);
