import { availableParallelism } from 'node:os';

/** Of the service and, as many, of what it is compared with. */
export function processCount(): number {
  return Number(process.env['STRONGROOM_WORKERS'] ?? availableParallelism());
}
