import { AggregatorRegistry, type Registry } from 'prom-client';

const registries = new Set<Registry>();

/**
 * The supervisor's process asks this one for what is in it.
 * @returns takes it out again
 */
export function addRegistry(registry: Registry): () => void {
  registries.add(registry);
  tell();
  return () => {
    registries.delete(registry);
    tell();
  };
}

function tell(): void {
  AggregatorRegistry.setRegistries([...registries]);
}
