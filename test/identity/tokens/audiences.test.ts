import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createAudienceCheck, createOwnUrlCheck } from '../../../src/identity/tokens/audiences.ts';

const isAudience = createAudienceCheck('strongroom.test');

describe('a resource', () => {
  test.each([
    'https://strongroom.test',
    'https://strongroom.test/',
    'https://strongroom.test:8443',
    'https://strongroom.test:8443/',
    'https://STRONGROOM.test',
    'https://main.strongroom.test:8443',
    'https://managedhsm.azure.net',
    'https://managedhsm.azure.net/',
    'https://vault.azure.net',
    'https://localhost',
    'https://localhost:8443',
    'https://127.0.0.1:8443',
    'https://[::1]:8443',
  ])('%s is the pool, and the directory', (resource) => {
    expect([isAudience(resource, 'pool'), isAudience(resource, 'directory')]).toEqual([true, true]);
  });

  test.each(['https://graph.microsoft.com', 'https://graph.microsoft.com/'])(
    '%s is the directory only',
    (resource) => {
      expect([isAudience(resource, 'pool'), isAudience(resource, 'directory')]).toEqual([
        false,
        true,
      ]);
    },
  );

  test.each([
    '',
    'strongroom.test',
    'http://strongroom.test',
    'ftp://strongroom.test',
    'https://strongroom.test/keys',
    'https://strongroom.test/?x=1',
    'https://strongroom.test/#x',
    'https://user@strongroom.test',
    'https://:password@strongroom.test',
    'https://strongroom.test:99999',
    'https://strongroom.test.attacker.example',
    'https://notstrongroom.test',
    'https://attacker.example/strongroom.test',
    'https://attacker.example#.strongroom.test',
    'https://evilmanagedhsm.azure.net',
    'https://x.managedhsm.azure.net.attacker.example',
    'https://localhost.attacker.example',
    'https://127.0.0.2',
    'https://strongroom.test https://graph.microsoft.com',
    `https://${'a'.repeat(600)}.strongroom.test`,
    'api://strongroom.test',
    'cfa8b339-82a2-471a-a3c9-0fc0be7a4093',
  ])('%j is neither', (resource) => {
    expect([isAudience(resource, 'pool'), isAudience(resource, 'directory')]).toEqual([
      false,
      false,
    ]);
  });

  test('of any text never makes more than a no, unless it names one of our hosts', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl()), (resource) => {
        expect(isAudience(resource, 'pool')).toBe(false);
      }),
    );
  });
});

describe('the audience of an assertion', () => {
  const isOwnUrl = createOwnUrlCheck('strongroom.test', (tenant) => tenant === 'adfs');

  test.each([
    'https://main.strongroom.test:8443/adfs/oauth2/v2.0/token',
    'https://strongroom.test/adfs/oauth2/token',
    'https://localhost:8443/adfs/v2.0',
    'https://localhost:8443/adfs',
    'https://localhost:8443/adfs/adfs/oauth2/v2.0/token',
    'https://localhost:8443/ADFS/adfs/',
  ])('may be %s', (url) => {
    expect(isOwnUrl(url)).toBe(true);
  });

  test.each([
    'https://login.example/adfs/oauth2/v2.0/token',
    'http://strongroom.test/adfs/oauth2/token',
    'https://strongroom.test/contoso/oauth2/token',
    'https://strongroom.test/adfs/contoso/oauth2/token',
    'https://strongroom.test/contoso/adfs/oauth2/token',
    'https://strongroom.test/adfs/adfs/adfs',
    'https://strongroom.test/adfs?x',
    'https://strongroom.test/',
  ])('may not be %s', (url) => {
    expect(isOwnUrl(url)).toBe(false);
  });
});
