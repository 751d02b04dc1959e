import { expect, test } from '@jest/globals';
import { constantAt } from '../documents/constants.ts';
import { textOf } from './files.ts';

const linesOf = (path: string) =>
  textOf(`systemd/${path}`)
    .split('\n')
    .filter((line) => /^\w+=/.test(line));
const service = linesOf('strongroom.service');
const migration = linesOf('strongroom-migrate.service');

test('the migration is confined as the service is, which has a folder besides', () => {
  const hardening = (lines: readonly string[]) => lines.slice(lines.indexOf('LimitCORE=0'));
  const ofServiceAlone = /^(?:OOMPolicy|StateDirectory\w*|WantedBy)=/;
  expect(hardening(service).length).toBeGreaterThan(30);
  expect(hardening(migration)).toEqual(
    hardening(service).filter((line) => !ofServiceAlone.test(line)),
  );
});

test('the service may write nowhere but in its folder, and gains no rights', () => {
  expect(service).toEqual(
    expect.arrayContaining([
      'User=strongroom',
      'ProtectSystem=strict',
      'StateDirectory=strongroom',
      'NoNewPrivileges=yes',
      'CapabilityBoundingSet=',
      'LoadCredential=pin:/etc/strongroom/pin',
      'Environment=PKCS11_PIN_FILE=%d/pin',
    ]),
  );
  // V8 makes machine code: Node.js dies of this one.
  expect(service.filter((line) => line.startsWith('MemoryDenyWriteExecute'))).toEqual([]);
});

test('it may have as many files open as it wants without a warning', () => {
  const limit = service.find((line) => line.startsWith('LimitNOFILE='))?.split('=')[1];
  expect(Number(limit)).toBeGreaterThanOrEqual(Number(constantAt('src/process/open-files.ts#LOW')));
});

test('no unit and no file of settings names a secret', () => {
  for (const path of ['strongroom.service', 'strongroom.env', 'migrate.env'])
    expect(textOf(`systemd/${path}`)).not.toMatch(/^(?:Environment=)?PKCS11_PIN=/m);
});
