import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { LIMITS } from '../../src/compose/limits.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { ROOT } from '../documents/documents.ts';
import { textOf, yamlOf } from './files.ts';

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
}
const NAMES = 'helm/strongroom/';
const schema = JSON.parse(textOf(`${NAMES}values.schema.json`)) as Schema;
const check = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0], {
  defaultTarget: 'draft-7',
});
type Values = Record<string, Record<string, unknown>>;
const values = () => yamlOf<Values>(`${NAMES}values.yaml`);

describe('values.schema.json', () => {
  test('takes the values that the chart has, and refuses others', () => {
    expect(check.safeParse(values()).error).toBeUndefined();
    const wrong: ((of: Values) => unknown)[] = [
      (of) => (of['hsm'] = { ...of['hsm'], modul: '/opt/hsm/lib.so' }),
      (of) => (of['hsm'] = { ...of['hsm'], module: 'lib.so' }),
      (of) => (of['settings'] = { STRONGROOM_SOFT_DELETE_DAY: '30' }),
      (of) => (of['settings'] = { STRONGROOM_LISTEN: '0.0.0.0:443' }),
      (of) => (of['settings'] = { STRONGROOM_SOFT_DELETE_DAYS: 30 }),
      (of) => (of['image'] = { ...of['image'], digest: 'sha256:1' }),
      (of) => Object.assign(of, { replicas: '3' }),
      (of) => Object.assign(of, { domain: 'HSM.example.org' }),
      (of) => delete of['database'],
    ];
    for (const spoil of wrong) {
      const spoilt = values();
      spoil(spoilt);
      expect([spoil.toString(), check.safeParse(spoilt).success]).toEqual([
        spoil.toString(),
        false,
      ]);
    }
  });

  test('names each value, so that a misspelt one is refused', () => {
    const compare = (path: string, of: Schema, value: unknown): string[] => {
      if (of.properties === undefined || typeof value !== 'object' || value === null) return [];
      const unsaid = Object.keys(value).filter((name) => !Object.hasOwn(of.properties ?? {}, name));
      return [
        ...unsaid.map((name) => `${path}${name}`),
        ...(of.additionalProperties === false ? [] : [`${path} is open`]),
        ...Object.entries(value).flatMap(([name, inner]) =>
          compare(`${path}${name}.`, of.properties?.[name] ?? {}, inner),
        ),
      ];
    };
    expect(compare('', schema, values())).toEqual([]);
  });

  test('knows the settings of the service that the chart makes none of', () => {
    const made = [...textOf(`${NAMES}templates/_helpers.tpl`).matchAll(/^- name: ([A-Z0-9_]+)$/gm)]
      .map(([, name = '']) => name)
      .filter((name) => Object.hasOwn(SETTINGS, name));
    // The PIN is a file, the data folder a development start's, and a replica's name its pod's.
    const others = [...made, 'PKCS11_PIN', 'STRONGROOM_DATA_DIR', 'STRONGROOM_REPLICA'];
    expect(made).toContain('DATABASE_URL');
    expect(Object.keys(schema.properties?.['settings']?.properties ?? {}).toSorted()).toEqual(
      Object.keys(SETTINGS)
        .filter((name) => !others.includes(name))
        .toSorted(),
    );
  });
});

test.each(['alerts.yaml', 'dashboard.json'])(
  'the chart has the %s of src/observability: copy it to deploy/helm/strongroom/files',
  (name) => {
    const own = readFileSync(join(ROOT, 'src/observability', name), 'utf8');
    expect(textOf(`${NAMES}files/${name}`)).toBe(own);
  },
);

test('the chart is of the version that the package is', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  expect(yamlOf(`${NAMES}Chart.yaml`)).toMatchObject({ appVersion: version });
  expect(textOf('container/Dockerfile')).toContain(`ARG VERSION=${version}\n`);
});

test('its notes know how many connections a worker has', () => {
  const listening = 2;
  const each = LIMITS.databaseConnections + LIMITS.auditConnections + listening;
  expect(textOf(`${NAMES}templates/NOTES.txt`)).toContain(`mul ${each} .Values.workers`);
});

test('examples of values are taken by the schema over the defaults', () => {
  for (const name of ['network-hsm', 'softhsm']) {
    const given = parse(textOf(`${NAMES}ci/${name}.yaml`)) as Values;
    expect(check.safeParse(merge(values(), given)).error).toBeUndefined();
  }
});

/** As Helm does: objects one into the other, all else in the place of what was there. */
function merge(own: unknown, given: unknown): unknown {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(own) || !isObject(given)) return given;
  const merged = Object.entries(given).map(([name, value]) => [name, merge(own[name], value)]);
  return { ...own, ...(Object.fromEntries(merged) as Record<string, unknown>) };
}
