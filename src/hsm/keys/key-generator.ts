import { type ChildProcess, fork } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { ServiceError } from '../../core/errors.ts';
import { PinRefusedError } from '../../core/operator-error.ts';
import type { Mechanics } from '../capabilities/capabilities.ts';
import type { KeyIdentity, KeySpec } from '../../core/keys/key.ts';
import type { ObjectIds } from '../../core/keys/objects/object-id.ts';
import { deserializeError } from '../module/serialization.ts';
import { faultOf } from '../module/errors.ts';
import type { FromGenerator, ToGenerator } from './generator-protocol.ts';
import type { GeneratedKey } from './key-generation.ts';
import type { Roots } from '../module/open-module.ts';
import { type TokenOptions, tokenOptionsOf } from '../module/token-options.ts';

export interface KeyGeneratorOptions extends TokenOptions {
  /** For a key, and for opening the token. */
  readonly deadlineMs: number;
  /** The process ends when nothing was to be made for so long. */
  readonly idleMs: () => number;
  readonly onEnd: (reason: string) => void;
}

/** Opening a token fails at times while another process logs in to it (SoftHSM 2.6.1). */
const TRIES = 3;

/**
 * Makes keys in a process of its own, for a module that one thread may call: there it would hold up every other call
 * for seconds. The process starts with the first key and ends when none was wanted for a while; it is replaced when it has
 * died, hangs, or its token fails. One key at a time; the caller keeps order.
 */
export class KeyGenerator {
  readonly #options: KeyGeneratorOptions;
  #child: { readonly process: ChildProcess; readonly roots: Roots } | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** From then on nothing is made: each try would be one more attempt with a PIN that is wrong. */
  #refusal: PinRefusedError | undefined;

  constructor(options: KeyGeneratorOptions) {
    this.#options = options;
  }

  /** Is tried again where the process was at fault. @param objects that a resident key is to be */
  async generate(
    roots: Roots,
    identity: KeyIdentity,
    spec: KeySpec,
    capabilities: Mechanics,
    objects: ObjectIds | undefined,
  ): Promise<GeneratedKey> {
    if (this.#refusal !== undefined) throw this.#refusal;
    clearTimeout(this.#idle);
    try {
      for (let tries = 1; ; tries += 1)
        try {
          const child = await this.#opened(roots);
          const isRepeated = tries > 1;
          const answer = await this.#ask(child, {
            ...{ identity, spec, capabilities, objects, isRepeated },
          });
          if (typeof answer === 'object' && 'made' in answer) return answer.made;
          throw new Error('the process that makes keys said something else');
        } catch (error) {
          if (error instanceof PinRefusedError) this.#refusal = error;
          if (isFinal(error)) throw error;
          this.#end();
          if (this.#isClosed || tries >= TRIES) throw error;
        }
    } finally {
      this.#idle = setTimeout(() => {
        this.#end();
      }, this.#options.idleMs()).unref();
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#end();
  }

  async #opened(roots: Roots): Promise<ChildProcess> {
    const known = this.#child;
    if (known?.roots === roots) return known.process;
    this.#end();
    const child = fork(new URL('./generator-process.js', import.meta.url), {
      // Flags by which this process was started are about its own script.
      execArgv: [],
      serialization: 'advanced',
    });
    this.#child = { process: child, roots };
    child.on('error', () => undefined);
    child.once('exit', () => {
      if (this.#child?.process === child) this.#child = undefined;
    });
    giveWay(child.pid);
    await this.#ask(child, { open: tokenOptionsOf(this.#options), roots });
    return child;
  }

  #ask(child: ChildProcess, message: ToGenerator): Promise<FromGenerator> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(deadline);
        child.off('message', onMessage).off('exit', onExit);
        act();
      };
      const onMessage = (answer: FromGenerator) => {
        settle(() => {
          if (typeof answer === 'object' && 'failed' in answer)
            reject(deserializeError(answer.failed));
          else resolve(answer);
        });
      };
      const onExit = () => {
        settle(() => {
          reject(new Error('the process that makes keys has ended'));
        });
      };
      const deadline = setTimeout(() => {
        this.#options.onEnd('hangs');
        settle(() => {
          this.#end();
          reject(new ServiceError('HsmUnavailable', 'The HSM did not answer in time.'));
        });
      }, this.#options.deadlineMs);
      child.on('message', onMessage).once('exit', onExit);
      child.send(message, (error) => {
        if (error !== null) onExit();
      });
    });
  }

  #end(): void {
    this.#child?.process.kill('SIGKILL');
    this.#child = undefined;
  }
}

/** What another process would come to as well. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof ServiceError || error instanceof PinRefusedError || faultOf(error) === 'input'
  );
}

/** Making keys may take a processor whole: those who use keys go first. */
function giveWay(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already, or the system doesn't allow it.
  }
}
