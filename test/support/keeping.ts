/**
 * Where the keys of a run's pools are, where a suite doesn't say it: with STRONGROOM_TEST_KEYS=resident, suites try the other
 * kind of pool.
 */
const given = process.env['STRONGROOM_TEST_KEYS'];

export const KEEPING = given === 'resident' ? 'resident' : 'sealed';

/** What takes a key out of the HSM, or unwraps it with other rights, isn't tried where keys are resident. */
export const isSealed = KEEPING === 'sealed';

/** For a service that makes a pool. */
export const KEEPING_SETTINGS: Readonly<Record<string, string>> =
  KEEPING === 'resident' ? { STRONGROOM_KEYS: KEEPING } : {};
