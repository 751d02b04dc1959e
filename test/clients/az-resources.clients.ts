import { randomUUID } from 'node:crypto';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Az, openAz, signInToAz } from '../support/az.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { makeVirtualEnvironment } from '../support/virtual-environment.ts';

/** Pools as resources, by `az` as it is. A machine that can't have it skips with the reason. */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const { bin, missing } = makeVirtualEnvironment('az', join(HERE, 'az-requirements.txt'));
const path = [bin, process.env['PATH'] ?? ''].join(delimiter);
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const TEST_MS = 1_800_000;
let service: RunningService;
let opened: Az;
let az: Az['az'];

beforeAll(async () => {
  if (missing !== undefined) return;
  service = await startService(await makeDataFolder());
  opened = await openAz(service, path);
  await signInToAz(opened, service);
  ({ az } = opened);
}, TEST_MS);
afterAll(async () => {
  if (missing !== undefined) return;
  await service.stop();
  await removeDataFolder(service.dataFolder);
  await opened.close();
});

interface Named {
  readonly name: string;
}
interface ManagedHsm extends Named {
  readonly properties: {
    readonly provisioningState: string;
    readonly hsmUri: string;
    readonly networkAcls: { readonly bypass: string; readonly ipRules: readonly object[] };
  };
}

const hsm = ['--hsm-name', 'payroll'];
const names = (found: readonly Named[]) => found.map(({ name }) => name);

(missing === undefined ? describe : describe.skip)('az, as it is', () => {
  test(
    'leads a Managed HSM through its life',
    () => {
      const administrator = service.client['AZURE_PRINCIPAL_ID'] ?? '';
      expect(az<object[]>('account', 'list')).toHaveLength(1);
      az('group', 'create', '--name', 'keys', '--location', 'local', '--tags', 'team=pay');
      expect(az('group', 'exists', '--name', 'keys')).toBe(true);
      expect(names(az('group', 'list', '--tag', 'team=pay'))).toEqual(['keys']);
      expect(az('keyvault', 'check-name', '--name', 'payroll')).toMatchObject({
        nameAvailable: true,
      });
      const group = ['--resource-group', 'keys', '--location', 'local'];
      const made = az<ManagedHsm>(
        ...['keyvault', 'create', ...hsm, ...group, '--administrators', administrator],
        ...['--retention-days', '7', '--enable-purge-protection', 'false'],
      );
      expect(made.properties).toMatchObject({ provisioningState: 'Succeeded' });
      expect(made.properties.hsmUri).toMatch(/^https:\/\/payroll\./);
      expect(az<ManagedHsm>('keyvault', 'show', ...hsm)).toMatchObject({ name: 'payroll' });
      expect(names(az('keyvault', 'list'))).toEqual(['payroll']);
      expect(names(az('resource', 'list', '--resource-group', 'keys'))).toEqual(['payroll']);
      const updated = az<ManagedHsm>('keyvault', 'update-hsm', ...hsm, '--bypass', 'None');
      expect(updated.properties.networkAcls.bypass).toBe('None');
      const ruled = az<ManagedHsm>(
        ...['keyvault', 'network-rule', 'add', ...hsm, '--ip-address', '127.0.0.1'],
      );
      expect(ruled.properties.networkAcls.ipRules).toEqual([{ value: '127.0.0.1' }]);

      az('keyvault', 'delete', ...hsm);
      expect(az('keyvault', 'list')).toEqual([]);
      expect(names(az('keyvault', 'list-deleted'))).toEqual(['payroll']);
      const recovered = az<ManagedHsm>('keyvault', 'recover', ...hsm, ...group);
      expect(recovered.properties.provisioningState).toBe('Succeeded');
      az('keyvault', 'delete', ...hsm);
      az('keyvault', 'purge', ...hsm);
      expect(az('keyvault', 'list-deleted')).toEqual([]);
      az('group', 'delete', '--name', 'keys', '--yes');
      expect(az('group', 'list')).toEqual([]);
    },
    TEST_MS,
  );

  test(
    'gives roles of the control plane',
    () => {
      const { id } = az<{ id: string }>('account', 'show');
      const principal = randomUUID();
      az(
        ...['role', 'assignment', 'create', '--role', 'Managed HSM contributor'],
        ...['--assignee-object-id', principal, '--assignee-principal-type', 'ServicePrincipal'],
        ...['--scope', `/subscriptions/${id}`],
      );
      const held = az<{ principalId: string }[]>('role', 'assignment', 'list', '--all');
      expect(held.map(({ principalId }) => principalId)).toContain(principal);
    },
    TEST_MS,
  );
});
