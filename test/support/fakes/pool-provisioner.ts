import type { PoolProvisioner, WantedPool } from '../../../src/core/resources/ports.ts';

interface FakePool {
  wanted: WantedPool;
  isServed: boolean;
}

/** Pools that are there because they are written down; its work can be held, and refuse. */
export class FakePoolProvisioner implements PoolProvisioner {
  readonly pools = new Map<string, FakePool>();
  /** Names of pools of other tenants. */
  readonly taken = new Set<string>();
  /** What was asked for, as `create payroll`. */
  readonly calls: string[] = [];
  /** The error with which the next call is refused. */
  refusal: Error | undefined;
  #gate: Promise<void> = Promise.resolve();

  /** Work hangs until the function that it gives is called. */
  hold(): () => void {
    let release: () => void = () => undefined;
    this.#gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  isFree(name: string): Promise<boolean> {
    return Promise.resolve(!this.taken.has(name) && !this.pools.has(name));
  }

  stateOf(name: string): Promise<{ isActive: boolean } | undefined> {
    return Promise.resolve(this.pools.has(name) ? { isActive: false } : undefined);
  }

  async create(wanted: WantedPool): Promise<void> {
    await this.#work('create', wanted.name);
    this.pools.set(wanted.name, { wanted, isServed: true });
  }

  async update(wanted: WantedPool): Promise<void> {
    await this.#work('update', wanted.name);
    this.#pool(wanted.name).wanted = wanted;
  }

  async close(name: string): Promise<void> {
    await this.#work('close', name);
    this.#pool(name).isServed = false;
  }

  async open(name: string): Promise<void> {
    await this.#work('open', name);
    this.#pool(name).isServed = true;
  }

  async purge(name: string): Promise<void> {
    await this.#work('purge', name);
    this.pools.delete(name);
  }

  async #work(call: string, name: string): Promise<void> {
    this.calls.push(`${call} ${name}`);
    await this.#gate;
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal !== undefined) throw refusal;
  }

  #pool(name: string): FakePool {
    const pool = this.pools.get(name);
    if (pool === undefined) throw new Error(`there is no pool ${name}`);
    return pool;
  }
}
