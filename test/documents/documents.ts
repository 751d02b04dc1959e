import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { slug } from 'github-slugger';
import MarkdownIt from 'markdown-it';

export const ROOT = join(import.meta.dirname, '../..');

/** A Markdown file of the repository, taken apart. */
export interface Document {
  /** From the repository's root. */
  readonly path: string;
  /** Prose, tables and headings as one text without mark-up; white space is one blank. */
  readonly text: string;
  /** Where links point, as they are written. */
  readonly links: readonly string[];
  /** The names by which GitHub links to its headings. */
  readonly anchors: ReadonlySet<string>;
  /** What stands between backticks in a line. */
  readonly spans: readonly string[];
  /** The lines of code blocks. */
  readonly lines: readonly string[];
  /** The rows of its tables, cell by cell; the heads are not among them. */
  readonly rows: readonly (readonly string[])[];
}

type Token = ReturnType<(typeof markdown)['parse']>[number];

const markdown = new MarkdownIt();
const NOT_OURS = new Set(['node_modules', 'dist', 'coverage', '.git', '.strongroom']);

export const documents: readonly Document[] = findDocuments(ROOT).map(readDocument);

/** Of all files of the repository, without their folders. */
export const FILE_NAMES: ReadonlySet<string> = new Set(
  filesBelow(ROOT).map((path) => basename(path)),
);

export function documentAt(path: string): Document {
  const found = documents.find((document) => document.path === path);
  if (found === undefined) throw new Error(`There is no document ${path}.`);
  return found;
}

/** Each as [path, what is found in it], for a table of tests; of documents in which nothing is found there is no line. */
export function perDocument(
  find: (document: Document) => readonly string[],
): (readonly [string, readonly string[]])[] {
  return documents
    .map((document) => [document.path, [...new Set(find(document))]] as const)
    .filter(([, found]) => found.length > 0);
}

/** Whether a file or folder of the repository has this path, seen from its root. */
export function isInRepository(path: string): boolean {
  return existsSync(join(ROOT, path));
}

/** The text of all files below a folder whose names end in this way. */
export function sourcesBelow(folder: string, ending: string): readonly string[] {
  return filesBelow(join(ROOT, folder))
    .filter((path) => path.endsWith(ending))
    .map((path) => readFileSync(path, 'utf8'));
}

function findDocuments(folder: string): string[] {
  return filesBelow(folder)
    .filter((path) => path.endsWith('.md'))
    .map((path) => relative(ROOT, path));
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

function readDocument(path: string): Document {
  const tokens = markdown.parse(readFileSync(join(ROOT, path), 'utf8'), {});
  const inline = tokens.flatMap(({ children }) => children ?? []);
  return {
    path,
    text: tokens.map(textOf).join(' ').replaceAll(/\s+/g, ' '),
    links: inline.filter(({ type }) => type === 'link_open').map((link) => hrefOf(link)),
    anchors: anchorsOf(tokens),
    spans: inline.filter(({ type }) => type === 'code_inline').map(({ content }) => content),
    lines: tokens
      .filter(({ type }) => type === 'fence' || type === 'code_block')
      .flatMap(({ content }) => content.split('\n')),
    rows: rowsOf(tokens),
  };
}

/** The path that a link of a document points to, from the root; undefined for another host's. */
export function targetOf(document: Document, link: string): { path: string; anchor: string } {
  const [path = '', anchor = ''] = link.split('#');
  return {
    path: path === '' ? document.path : join(dirname(document.path), decodeURIComponent(path)),
    anchor,
  };
}

function hrefOf(link: Token): string {
  return String(link.attrGet('href') ?? '');
}

function textOf({ children }: Token): string {
  return (children ?? [])
    .map(({ type, content }) => (type === 'softbreak' || type === 'hardbreak' ? ' ' : content))
    .join('');
}

/** A heading's anchor gets a number where the same one has been there before. */
function anchorsOf(tokens: readonly Token[]): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [index, { type }] of tokens.entries()) {
    const heading = tokens[index + 1];
    if (type !== 'heading_open' || heading === undefined) continue;
    const plain = slug(textOf(heading));
    let anchor = plain;
    for (let number = 1; anchors.has(anchor); number += 1) anchor = `${plain}-${number}`;
    anchors.add(anchor);
  }
  return anchors;
}

function rowsOf(tokens: readonly Token[]): string[][] {
  const rows: string[][] = [];
  let isInHead = false;
  for (const [index, { type }] of tokens.entries()) {
    if (type === 'thead_open' || type === 'thead_close') isInHead = type === 'thead_open';
    if (isInHead) continue;
    if (type === 'tr_open') rows.push([]);
    const cell = tokens[index + 1];
    if (type === 'td_open' && cell !== undefined) rows.at(-1)?.push(cell.content);
  }
  return rows;
}
