import type { AuditedChange } from '../audit/record.ts';

/** What an administrator has set; undefined where the default holds. */
export interface SettingStore {
  findSetting(name: string): Promise<boolean | undefined>;
  putSetting(name: string, isOn: boolean, change: AuditedChange): Promise<void>;
}
