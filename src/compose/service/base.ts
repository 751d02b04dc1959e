import type { Logger } from 'pino';
import type { Clock } from '../../core/clock.ts';
import type { ObjectKeeper } from '../../core/keys/objects/object-keeper.ts';
import type { Pkcs11Hsm } from '../../hsm/pkcs11-hsm.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { ServiceSettings } from './settings.ts';
import type { ServiceStore } from '../store.ts';

/** What every area of a service is made from. */
export interface Base extends ServiceStore {
  readonly settings: ServiceSettings;
  readonly log: Logger;
  readonly clock: Clock;
  /** Measured and traced. */
  readonly hsm: Pkcs11Hsm;
  /** Of a resident pool. */
  readonly keeper: ObjectKeeper | undefined;
  readonly metrics: Metrics;
}
