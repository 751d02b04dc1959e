import { action } from '../../core/access/actions.ts';
import { ServiceError } from '../../core/errors.ts';
import type { Hsm } from '../../core/keys/hsm.ts';
import { toBase64url } from '../values/bytes.ts';
import { RandomRequest } from './crypto.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

const MOST_BYTES = 128;

export function addRandomRoutes(routes: Routes, hsm: Pick<Hsm, 'random'>): void {
  route(routes, {
    method: 'post',
    path: '/rng',
    operation: 'RandomBytesGet',
    keyMaterial: 'plain',
    action: action('rng/action'),
    params: () => ({}),
    scope: () => '/',
    key: null,
    body: RandomRequest,
    handler: async ({ body: { count } }) => {
      if (count < 1 || count > MOST_BYTES)
        throw new ServiceError(
          'BadParameter',
          'GetRandomBytesRequest: count cannot be greater than 128 or less than 1',
        );
      return { value: toBase64url(await hsm.random(count)) };
    },
  });
}
