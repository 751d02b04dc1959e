import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Capabilities } from '../../src/hsm/capabilities/capabilities.ts';
import type { ModuleRecord } from './record.ts';

/**
 * Makes the table of modules in README.md of what `MODULES_RECORD=folder npm run test:modules` has kept:
 * `npx tsx test/modules/table.ts folder`.
 */
const README = fileURLToPath(new URL('README.md', import.meta.url));
const BEGIN = '<!-- by table.ts -->';
const END = '<!-- to here -->';

const COLUMNS: Readonly<Record<string, (record: ModuleRecord) => string>> = {
  module: ({ name }) => `\`${name}\``,
  'RFC 5649': of(({ keyWrapPadded }) =>
    keyWrapPadded === undefined
      ? 'none'
      : `0x${Number(keyWrapPadded.mechanism.name).toString(16)}${keyWrapPadded.keepsLength ? '' : ', rounds up'}`,
  ),
  'keys are sealed by': of(({ sealing }) =>
    sealing === undefined ? 'nothing' : SEALED_BY[sealing.kind],
  ),
  'OAEP SHA-1, SHA-256; PKCS #1': of(({ oaepSha1, oaepSha256, pkcs1 }) =>
    [oaepSha1, oaepSha256].join(', ').concat(`; ${pkcs1}`),
  ),
  'GCM IV': of(({ gcmIv }) => gcmIv ?? 'unknown'),
  'data keys': of(({ dataKeyWrap }) => dataKeyWrap),
  threads: ({ examined }) => {
    const finding = findingsOf(examined).find(({ subject }) => subject === 'threads');
    return finding === undefined ? '' : finding.severity === 'ok' ? 'several' : 'one';
  },
  'ML-DSA': ({ found }) =>
    found !== undefined && 'outcome' in found && found.outcome['ML-DSA: made'] === 'works'
      ? 'yes'
      : 'no',
  lacks: of(lacksOf),
  'over REST': ({ found }) => {
    if (found === undefined) return '';
    if (!('refused' in found)) return countOf(found.outcome);
    const { resident } = found;
    return resident === undefined || 'refused' in resident
      ? 'no pool'
      : `${countOf(resident.outcome)}, resident`;
  },
  'victim: requests, refused': ({ beside }) =>
    beside === undefined
      ? ''
      : `${beside.victim.toLocaleString('en-US')}, ${String(beside.refused)}`,
};

function countOf(outcome: Readonly<Record<string, string>>): string {
  const outcomes = Object.entries(outcome)
    .filter(([name]) => !name.startsWith('ML-DSA'))
    .map(([, came]) => came);
  const works = outcomes.filter((one) => one === 'works').length;
  return `${String(works)} of ${String(outcomes.length)}`;
}

const SEALED_BY = { kwp: 'RFC 5649', gcm: 'AES-GCM', 'cbc-pad': 'AES-CBC with padding' };

function of(describe: (capabilities: Capabilities) => string) {
  return ({ examined }: ModuleRecord): string =>
    examined?.capabilities === undefined ? '' : describe(examined.capabilities);
}

function findingsOf(examined: ModuleRecord['examined']) {
  return examined?.sections.flatMap(({ findings }) => findings) ?? [];
}

function lacksOf({ keyLacks, algorithmLacks, keepsMacKeys }: Capabilities): string {
  // ML-DSA has a column of its own.
  const kinds = Object.keys(keyLacks).filter((kind) => !kind.startsWith('AKP'));
  const isAll = (type: string, count: number) =>
    kinds.filter((kind) => kind.startsWith(type)).length === count;
  const whole = [
    ...(isAll('RSA-HSM', 3) ? ['RSA keys'] : []),
    ...(isAll('EC-HSM', 4) ? ['EC keys'] : []),
    ...(keepsMacKeys ? [] : ['HMACs']),
  ];
  const single = [
    ...kinds
      .filter((kind) => !whole.includes('RSA keys') || !kind.startsWith('RSA'))
      .filter((kind) => !whole.includes('EC keys') || !kind.startsWith('EC')),
    ...Object.keys(algorithmLacks).filter(
      (name) => !name.startsWith('ML-DSA') && (keepsMacKeys || !name.startsWith('HS')),
    ),
  ].map((name) => name.replace(/^(?:EC|RSA|oct)-HSM /, ''));
  return [...whole, ...single].join(', ');
}

async function readRecords(folder: string): Promise<readonly ModuleRecord[]> {
  const records = new Map<string, ModuleRecord>();
  for (const file of (await readdir(folder)).sort()) {
    const part = JSON.parse(await readFile(join(folder, file), 'utf8')) as ModuleRecord;
    records.set(part.name, { ...records.get(part.name), ...part });
  }
  return [...records.values()];
}

/** Sentences of all modules, each once, in which M stands for what a module is, and K for a kind or type of keys. */
function refusalsOf(records: readonly ModuleRecord[]): string {
  const rows = new Map<string, { readonly what: Set<string>; readonly names: Set<string> }>();
  for (const { name, refusals = [], examined } of records)
    for (const { what, words } of refusals) {
      const module = moduleIn(words) ?? examined?.capabilities?.module ?? '';
      const sentence = words
        .replaceAll(module, 'M')
        .replace(/ \(Activity ID: .*\)$/, '')
        .replace(/(?<= of the (?:kind|type) )(?:RSA|EC|oct)-HSM(?: (?!is )[\w-]+)?/, 'K');
      const row = rows.get(sentence) ?? { what: new Set(), names: new Set() };
      row.what.add(what);
      row.names.add(`\`${name}\``);
      rows.set(sentence, row);
    }
  const list = (all: Set<string>) => [...all].join(', ');
  return [...rows]
    .map(([sentence, { what, names }]) => `- "${sentence}" (${list(names)}: ${list(what)})`)
    .join('\n');
}

/** Of a start that is refused: there may be no more known of the module. */
function moduleIn(words: string): string | undefined {
  return /PKCS11_MODULE: (?:.*, and )?(.*?) can't/.exec(words)?.[1];
}

function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, heads.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

const [folder = ''] = process.argv.slice(2);
const records = await readRecords(folder);
const modules = records.map((record) => Object.values(COLUMNS).map((cell) => cell(record)));
const readme = await readFile(README, 'utf8');
const [before = ''] = readme.split(BEGIN);
const [, after = ''] = readme.split(END);
const made = [
  tableOf(Object.keys(COLUMNS), modules),
  'What is refused, and how it reads, where M is the manufacturer, the library and its version, and K the kind or the type of a key:',
  refusalsOf(records),
];
await writeFile(README, [before, BEGIN, '\n\n', made.join('\n\n'), '\n\n', END, after].join(''));
