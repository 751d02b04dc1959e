import type { AuditRecord } from '../../../src/core/audit/record.ts';

/** Where records become durable, all of a write or none; it can be held, and refuse. */
export class FakeAuditWriter {
  readonly durable: AuditRecord[] = [];
  /** How many records each write had, refused ones included. */
  readonly writes: number[] = [];
  /** The error with which a write is refused. */
  refusal: (records: readonly AuditRecord[]) => Error | undefined = () => undefined;
  mostAtOnce = 0;
  #atOnce = 0;
  #gate: Promise<void> = Promise.resolve();

  /** Writes hang until the function that it gives is called. */
  hold(): () => void {
    let release: () => void = () => undefined;
    this.#gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  async write(records: readonly AuditRecord[]): Promise<void> {
    this.writes.push(records.length);
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    await this.#gate;
    this.#atOnce -= 1;
    const refusal = this.refusal(records);
    if (refusal !== undefined) throw refusal;
    this.durable.push(...records);
  }
}
