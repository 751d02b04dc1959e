import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../documents/documents.ts';

/** What is below deploy/, as texts and as documents. */
export const FOLDER = join(ROOT, 'deploy');
export const CHART = join(FOLDER, 'helm/strongroom');

/** Of every file below deploy/, by its path from there. */
export const deployFiles: ReadonlyMap<string, string> = new Map(
  readdirSync(FOLDER, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => [path.slice(FOLDER.length + 1), readFileSync(path, 'utf8')]),
);

/** @param path from deploy/ @throws Error where there is no such file */
export function textOf(path: string): string {
  const text = deployFiles.get(path);
  if (text === undefined) throw new Error(`deploy/${path} is missing.`);
  return text;
}

/** @throws Error where it is no YAML */
export function yamlOf<Shape>(path: string): Shape {
  return documentsIn<Shape>(textOf(path))[0] as Shape;
}

/** Of a file of several documents; empty ones are left out. */
export function documentsIn<Shape>(text: string): Shape[] {
  return parseAllDocuments(text)
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as Shape | null;
    })
    .filter((document): document is NonNullable<typeof document> => document !== null);
}

/** `NAME=value` on lines of their own. */
export function variablesIn(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}
