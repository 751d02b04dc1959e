#!/usr/bin/env node
import { runCli } from './cli/program.ts';

/** The process: hands the environment, which no other file reads, to the command that is asked for. */
await runCli(process.env);
