import { AggregatorRegistry, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { addRegistry } from './registries.ts';

/** What all pools of a process share. */
export interface ProcessReadings {
  readonly database: {
    readonly total: number;
    readonly idle: number;
    readonly waiting: number;
  };
  readonly isFeedCoherent: boolean;
}

/** The metrics of one process, whichever pools it serves. @returns ends them */
export function startProcessMetrics(read: () => ProcessReadings): () => void {
  const registry = new Registry();
  // It answers the supervisor's process.
  new AggregatorRegistry();
  collectDefaultMetrics({ register: registry });
  // Gauges that are named like counters, which Prometheus's own check complains of.
  for (const kind of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`nodejs_active_${kind}_total`);
  const gauge = (name: string, help: string, of: (readings: ProcessReadings) => number) =>
    new Gauge({
      name: `strongroom_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(of(read()));
      },
    });
  gauge('database_connections', 'Connections to the database.', ({ database }) => database.total);
  gauge('database_connections_idle', 'Those that nobody uses.', ({ database }) => database.idle);
  gauge(
    'database_waiting',
    'Queries that wait for a connection.',
    ({ database }) => database.waiting,
  );
  gauge('change_feed_coherent', 'Processes whose caches are believed.', ({ isFeedCoherent }) =>
    Number(isFeedCoherent),
  );
  return addRegistry(registry);
}
