import { timingSafeEqual } from 'node:crypto';
import type { Endorsement, Retirement, Voucher } from './ports.ts';
import type { RootKeyWitness } from './root-key-hsm.ts';

/**
 * What root keys say of a generation that is to be the current one. Every older one that the HSM holds vouches for it, be it
 * the pool's or left by an attempt that was cut off.
 * @param retires older generations that are to go
 */
export async function endorse(
  hsm: RootKeyWitness,
  generation: number,
  retires: readonly number[],
): Promise<Endorsement> {
  return {
    vouchers: await vouchersFor(hsm, generation),
    retirement: { retires, proof: await hsm.retirementList(generation, retires) },
  };
}

/** What each older generation that the HSM holds says of one that is to be the current one. */
export async function vouchersFor(
  hsm: RootKeyWitness,
  generation: number,
): Promise<readonly Voucher[]> {
  const vouchers: Voucher[] = [];
  for (const by of await olderThan(hsm, generation))
    vouchers.push({ by, generation, proof: await hsm.voucher(by, generation) });
  return vouchers;
}

/**
 * Older generations in the HSM that don't vouch for a generation, themselves or by one that does. Where there are such, the
 * generation isn't what has come after them: whoever writes rows may have named root keys that they have brought in.
 */
export async function findUnvouching(
  hsm: Pick<RootKeyWitness, 'listWholeGenerations' | 'voucher'>,
  generation: number,
  vouchers: readonly Voucher[],
): Promise<readonly number[]> {
  const older = await olderThan(hsm, generation);
  const vouching = new Set([generation]);
  for (let count = 0; count < vouching.size;) {
    count = vouching.size;
    for (const { by, generation: of, proof } of vouchers)
      if (older.includes(by) && !vouching.has(by) && vouching.has(of))
        if (isSame(proof, await hsm.voucher(by, of))) vouching.add(by);
  }
  return older.filter((number) => !vouching.has(number));
}

/** Whether the current root keys have said that an older generation may go. */
export async function isRetirable(
  hsm: RootKeyWitness,
  current: number,
  number: number,
  retirement: Retirement | undefined,
): Promise<boolean> {
  if (number >= current || retirement?.retires.includes(number) !== true) return false;
  return saysSo(hsm, current, retirement);
}

/** Whether the current root keys have said what the rows have of them. */
export async function saysSo(
  hsm: RootKeyWitness,
  current: number,
  retirement: Retirement | undefined,
): Promise<boolean> {
  if (retirement === undefined) return false;
  return isSame(retirement.proof, await hsm.retirementList(current, retirement.retires));
}

async function olderThan(
  hsm: Pick<RootKeyWitness, 'listWholeGenerations'>,
  generation: number,
): Promise<readonly number[]> {
  return (await hsm.listWholeGenerations()).filter((number) => number < generation);
}

function isSame(said: Uint8Array, right: Uint8Array): boolean {
  return said.length === right.length && timingSafeEqual(said, right);
}
