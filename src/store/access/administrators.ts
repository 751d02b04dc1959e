import { sql } from 'kysely';
import type { Author } from '../../core/access/authored-change.ts';
import { ServiceError } from '../../core/errors.ts';
import { ADMINISTRATOR_ROLE } from '../../core/access/role.ts';
import { UUID } from '../cursors.ts';
import type { StoreContext, Trx } from '../database.ts';
import { lockGrants } from './grants-lock.ts';
import { findOwnIds } from '../directory/principal-reader.ts';
import type { AssignmentRow } from '../tables.ts';

type PoolContext = Pick<StoreContext, 'poolId' | 'homeId' | 'trustedIssuers'>;

/** How long somebody can sign in yet who holds Administrator at `/`: not at all, now, or for a day at least. */
type Reach = 0 | 1 | 2;

/**
 * Does a change that may take from somebody the way in, or from an Administrator the role.
 * @throws ServiceError LastAdministrator where nobody would be left who can sign in and holds Administrator at `/` without
 * an end, or nobody for longer than a day where there was somebody
 */
export async function keepingAdministrators<T>(
  trx: Trx,
  context: PoolContext,
  author: Pick<Author, 'ids'>,
  change: () => Promise<T>,
): Promise<T> {
  await lockGrants(trx, context.poolId, 'exclusive');
  const before = await reachOf(trx, context, author);
  const result = await change();
  if ((await reachOf(trx, context, author)) < before) throw lastAdministrator();
  return result;
}

/**
 * After assignments have been removed, or given an end, under `lockGrants`: somebody must be left, whoever was there before.
 * @throws ServiceError LastAdministrator
 */
export async function requireAdministrator(
  trx: Trx,
  context: PoolContext,
  author: Pick<Author, 'ids'>,
  removed: readonly Pick<AssignmentRow, 'role_id' | 'scope'>[],
): Promise<void> {
  if (!removed.some((row) => row.role_id === ADMINISTRATOR_ROLE && row.scope === '/')) return;
  if ((await reachOf(trx, context, author)) === 0) throw lastAdministrator();
}

/**
 * An application signs in with a secret or a certificate that is good now, or with a federated credential that it has
 * signed in with before, since of another nobody knows whether its issuer or subject exists; a user with an identity of an
 * issuer that this service trusts; a group by its members. Of who isn't in the directory (an id of another
 * issuer, or one that was made up) only the author of the change has shown that it can sign in: it just did.
 */
async function reachOf(
  trx: Trx,
  { poolId, homeId, trustedIssuers = [] }: PoolContext,
  author: Pick<Author, 'ids'>,
): Promise<Reach> {
  const assignments = await trx
    .selectFrom('role_assignment')
    .select('principal_id')
    .where('pool_id', '=', poolId)
    .where('role_id', '=', ADMINISTRATOR_ROLE)
    .where('scope', '=', '/')
    // One that ends by itself can't be the one that is left.
    .where('expires_on', 'is', null)
    .execute();
  const holders = assignments.map((row) => row.principal_id);
  const seen = holders.filter((id) => author.ids.includes(id));
  if (seen.length > 0 && (await findOwnIds(trx, homeId, seen)).length < seen.length) return 2;
  const { rows } = await sql<{ reach: Reach }>`
    with recursive holder (id) as (
      select unnest(${holders.filter((id) => UUID.test(id))}::uuid[])
      union
      select m.member_id from group_member m join holder on holder.id = m.group_id where m.pool_id = ${homeId}
    ), way (ends_at) as (
      select c.ends_at
      from holder
      join service_principal s on s.pool_id = ${homeId} and s.id = holder.id and s.enabled
      join application a on a.pool_id = s.pool_id and a.app_id = s.app_id
      cross join lateral (
        select p.starts_at, p.ends_at from application_password p
        where p.pool_id = a.pool_id and p.application_id = a.id
        union all
        select x.starts_at, x.ends_at from application_certificate x
        where x.pool_id = a.pool_id and x.application_id = a.id
        union all
        select '-infinity', 'infinity' from federated_credential_use f
        where f.pool_id = a.pool_id and f.application_id = a.id
      ) c
      -- Clocks differ: what begins now may begin in a moment by this one.
      where c.starts_at <= now() + interval '5 minutes' and c.ends_at > now()
      union all
      select 'infinity'
      from holder
      join directory_user u on u.pool_id = ${homeId} and u.id = holder.id and u.enabled
      join user_identity i on i.pool_id = u.pool_id and i.user_id = u.id and i.issuer = any(${[...trustedIssuers]}::text[])
    )
    select coalesce(max(case when ends_at > now() + interval '1 day' then 2 else 1 end), 0)::integer as reach
    from way`.execute(trx);
  return rows[0]?.reach ?? 0;
}

function lastAdministrator(): ServiceError {
  return new ServiceError(
    'LastAdministrator',
    'The last Managed HSM Administrator at / who can sign in cannot be removed, shut out or given an end.',
  );
}
