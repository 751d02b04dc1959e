import type { ModuleName } from './expectations.ts';

/** Settings that an operator of such a module gives. */
const SETTINGS: Readonly<Partial<Record<ModuleName, Readonly<Record<string, string>>>>> = {
  nss: {
    PKCS11_LIBRARY_PARAMETERS: "configdir='' certPrefix='' keyPrefix='' secmod='' flags=noCertDB",
  },
};

export function settingsFor(profile: ModuleName): Readonly<Record<string, string>> {
  return SETTINGS[profile] ?? {};
}
