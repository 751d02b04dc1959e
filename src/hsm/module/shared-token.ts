import { PinRefusedError } from '../../core/operator-error.ts';
import type { TriedModule } from '../capabilities/tried-module.ts';
import { opensWhereFresh } from './fresh-trial.ts';
import type { TokenOptions } from './token-options.ts';

const TRY_AGAIN_AFTER_MS = 4_000;
const RENEW_AGAIN_AFTER_MS = 60_000;

/** Who is logged in to a token of a library in this process. A login is the process's: it is made once, and ends with the last user. */
export class SharedToken {
  readonly #label: string;
  readonly #users = new Map<object, (users: number) => void>();
  readonly #tried = new Map<string, TriedModule>();
  /** By which the process is logged in. */
  #pin: string | undefined;
  /** A token counts refusals, and locks itself after a few: none of its users tries the same PIN again. */
  #refusal: { readonly pin: string; readonly error: PinRefusedError } | undefined;

  #trial: { readonly opens: Promise<boolean>; readonly at: number } | undefined;
  #renewedAt: number | undefined;
  #logins = 0;

  constructor(label: string) {
    this.#label = label;
  }

  /** How often a user has logged in, since the start. */
  get logins(): number {
    return this.#logins;
  }

  /** How many are logged in. */
  get users(): number {
    return this.#users.size;
  }

  /** @throws PinRefusedError where the HSM has refused this PIN, or where others are logged in by another one */
  requirePin(pin: string): void {
    if (this.#refusal?.pin === pin) throw this.#refusal.error;
    if (this.users > 0 && this.#pin !== pin)
      throw new PinRefusedError(
        `The PIN of the token "${this.#label}" is another one than that by which this process is logged in to it already (PKCS11_PIN or PKCS11_PIN_FILE): a process has one login for each token.`,
      );
  }

  /**
   * Whether a library that is initialised now would open it; one such trial at a time, and for a while its answer is
   * everybody's. What has just been initialised anew for it isn't so again soon.
   * @throws PinRefusedError
   */
  async opensWhereFresh(options: TokenOptions): Promise<boolean> {
    const now = performance.now();
    if (this.#renewedAt !== undefined && now - this.#renewedAt < RENEW_AGAIN_AFTER_MS) return false;
    if (this.#trial === undefined || now - this.#trial.at > TRY_AGAIN_AFTER_MS)
      this.#trial = { opens: opensWhereFresh(options), at: now };
    const { opens } = this.#trial;
    try {
      return await opens;
    } catch (error) {
      this.notLoggedIn(options.pin, error);
      throw error;
    }
  }

  /** That the library has been initialised anew for it. */
  renewed(): void {
    this.#renewedAt = performance.now();
    this.#trial = undefined;
  }

  /** @param onShared is told how many use the token, whenever that changes */
  loggedIn(user: object, pin: string, onShared: (users: number) => void): void {
    this.#users.set(user, onShared);
    this.#pin = pin;
    this.#refusal = undefined;
    this.#logins += 1;
    this.#tell();
  }

  notLoggedIn(pin: string, error: unknown): void {
    if (error instanceof PinRefusedError) this.#refusal = { pin, error };
  }

  /** What its users have found out by trying: the next one doesn't try the same, unless the token was given up meanwhile. */
  get tried(): readonly TriedModule[] {
    return [...this.#tried.values()];
  }

  learn(tried: TriedModule): void {
    this.#tried.set(tried.what, tried);
  }

  /** @returns whether it was the last one that was logged in */
  leave(user: object): boolean {
    if (!this.#users.delete(user)) return false;
    if (this.users > 0) {
      this.#tell();
      return false;
    }
    this.#tried.clear();
    return true;
  }

  #tell(): void {
    for (const onShared of this.#users.values()) onShared(this.users);
  }
}
