/** A pool's settings with their defaults, by Azure's names or in their manner; all are switches. */
export const SETTING_DEFAULTS = {
  /** Azure's: whether its portal and Resource Manager may manage keys. Kept for tools that ask; there is no ARM here. */
  AllowKeyManagementOperationsThroughARM: false,
  /** Ours: encrypting, decrypting, wrapping and unwrapping with RSA1_5, which OWASP ASVS 5.0 11.3.1 advises against. */
  AllowRsa15: true,
} as const;

export type SettingName = keyof typeof SETTING_DEFAULTS;
export interface Setting {
  readonly name: SettingName;
  readonly isOn: boolean;
}
