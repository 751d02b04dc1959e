import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import type { SettingStore } from './ports.ts';
import { type Setting, SETTING_DEFAULTS, type SettingName } from './setting.ts';

export type SettingService = ReturnType<typeof createSettingService>;

/** @param store remembers what differs from the defaults */
export function createSettingService(store: SettingStore) {
  const effective = async (name: SettingName) =>
    (await store.findSetting(name)) ?? SETTING_DEFAULTS[name];

  return {
    isOn: effective,

    /** By name. */
    list(): Promise<readonly Setting[]> {
      const names = Object.keys(SETTING_DEFAULTS) as SettingName[];
      return Promise.all(names.map(async (name) => ({ name, isOn: await effective(name) })));
    },

    /** @throws ServiceError SettingNotFound */
    async get(name: string): Promise<Setting> {
      const known = requireKnown(name);
      return { name: known, isOn: await effective(known) };
    },

    /** @param value `true` or `false`, in any case. @throws ServiceError SettingNotFound, BadParameter */
    async update(name: string, value: string, change: AuditedChange): Promise<Setting> {
      const known = requireKnown(name);
      const text = value.toLowerCase();
      if (text !== 'true' && text !== 'false')
        throw new ServiceError(
          'BadParameter',
          'Property value has an invalid value: it must be "true" or "false".',
        );
      const setting = { name: known, isOn: text === 'true' };
      change.note({
        change: { before: { name: known, isOn: await effective(known) }, after: setting },
      });
      await store.putSetting(known, setting.isOn, change);
      return setting;
    },
  };
}

function requireKnown(name: string): SettingName {
  if (!Object.hasOwn(SETTING_DEFAULTS, name))
    throw new ServiceError('SettingNotFound', `There is no setting of the name ${name}.`);
  return name as SettingName;
}
