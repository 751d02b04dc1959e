#!/usr/bin/env node
import { runCli } from './cli/program.ts';

// Whoever reads what is printed may have read enough: `strongroom … | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

/** The process: hands the environment, which no other file reads, to the command that is asked for. */
await runCli(process.env);
