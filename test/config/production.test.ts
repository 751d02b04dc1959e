import { describe, expect, test } from '@jest/globals';
import {
  ConfigError,
  isProduction,
  readConfig,
  requireNothingForgotten,
} from '../../src/config/config.ts';

const DATABASE = { DATABASE_URL: 'postgres://db' };
const HSM = { PKCS11_MODULE: '/m.so', PKCS11_TOKEN_LABEL: 'label', PKCS11_PIN: '1' };
const CERTIFICATE = { STRONGROOM_TLS_CERT_FILE: '/a', STRONGROOM_TLS_KEY_FILE: '/b' };
const configOf = (environment: Readonly<Record<string, string>>) =>
  readConfig(environment, { cores: 2, memoryBytes: 4 * 1024 ** 3 }).config;

describe('of database, HSM and certificate', () => {
  test.each([
    ['none', {}],
    ['the database', DATABASE],
    ['the HSM', HSM],
    ['the certificate', CERTIFICATE],
  ])('%s is given: a development start, which makes the rest', (_given, environment) => {
    const config = configOf(environment);
    expect(isProduction(config)).toBe(false);
    expect(() => {
      requireNothingForgotten(config);
    }).not.toThrow();
  });

  test.each([
    ['PKCS11_MODULE', { ...DATABASE, ...CERTIFICATE }],
    ['DATABASE_URL', { ...HSM, ...CERTIFICATE }],
    ['STRONGROOM_TLS_CERT_FILE', { ...DATABASE, ...HSM }],
  ])('%s alone is missing: it is named as forgotten', (name, environment) => {
    const config = configOf(environment);
    expect(isProduction(config)).toBe(false);
    const check = () => {
      requireNothingForgotten(config);
    };
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(new RegExp(`^${name}.*: missing`));
  });

  test('all are given: a production start', () => {
    const config = configOf({ ...DATABASE, ...HSM, ...CERTIFICATE });
    expect(isProduction(config)).toBe(true);
    expect(() => {
      requireNothingForgotten(config);
    }).not.toThrow();
  });
});
