import { ServiceError } from '../../errors.ts';

/** As Managed HSM has them: 3 to 10 custodians, of whom 2 to 10 are required. */
export const CUSTODIANS = { least: 3, most: 10 };
export const LEAST_REQUIRED = 2;

/** @throws ServiceError BadParameter */
export function requireQuorum(custodians: number, required: number): void {
  if (!isWhole(custodians, CUSTODIANS.least, CUSTODIANS.most))
    throw new ServiceError(
      'BadParameter',
      `A security domain has ${CUSTODIANS.least} to ${CUSTODIANS.most} custodians, each with a certificate; there are ${custodians}.`,
    );
  if (!isWhole(required, LEAST_REQUIRED, custodians))
    throw new ServiceError(
      'BadParameter',
      `Of ${custodians} custodians ${LEAST_REQUIRED} to ${custodians} can be required, not ${required}.`,
    );
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
