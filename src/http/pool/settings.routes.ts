import { z } from 'zod';
import { action } from '../../core/access/actions.ts';
import type { Setting } from '../../core/pool/setting.ts';
import type { SettingService } from '../../core/pool/setting-service.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { text } from '../values/text.ts';

/** Azure sends a string, whatever the setting's type is. */
const UpdateSettingRequest = z.object({ value: text(16) });

const pool = { scope: () => '/' as const, key: null };
const named = {
  ...pool,
  params: (raw: Readonly<Record<string, string | undefined>>) => ({ name: raw['name'] ?? '' }),
};

/** The pool's settings; all of them are switches. */
export function addSettingRoutes(routes: Routes, settings: SettingService): void {
  route(routes, {
    ...pool,
    method: 'get',
    path: '/settings',
    operation: 'SettingList',
    keyMaterial: 'none',
    action: action('settings/read/action'),
    params: () => ({}),
    handler: async () => ({ settings: (await settings.list()).map(serializeSetting) }),
  });

  route(routes, {
    ...named,
    method: 'get',
    path: '/settings/:name',
    operation: 'SettingGet',
    keyMaterial: 'none',
    action: action('settings/read/action'),
    handler: async ({ params }) => serializeSetting(await settings.get(params.name)),
  });

  route(routes, {
    ...named,
    method: 'patch',
    path: '/settings/:name',
    operation: 'SettingUpdate',
    keyMaterial: 'none',
    action: action('settings/write/action'),
    body: UpdateSettingRequest,
    handler: async ({ params, body, context }) =>
      serializeSetting(await settings.update(params.name, body.value, context.audit)),
  });
}

function serializeSetting({ name, isOn }: Setting) {
  return { name, type: 'boolean', value: String(isOn) };
}
