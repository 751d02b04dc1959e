import type { Finding, Severity } from '../../core/diagnosis/finding.ts';

/** What was examined together. */
export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

const MARK: Readonly<Record<Severity, string>> = { ok: 'ok', warning: 'WARNING', fault: 'FAULT' };
const MARK_WIDTH = 7;

/** Lines for people: a table a section, and the sum of it. */
export function describe(sections: readonly Section[]): readonly string[] {
  const all = sections.flatMap(({ findings }) => findings);
  const width = Math.max(...all.map(({ subject }) => subject.length));
  const lines = sections.flatMap(({ title, findings }) => [
    title,
    ...findings.map(
      ({ severity, subject, sentence }) =>
        `  ${MARK[severity].padEnd(MARK_WIDTH)}  ${subject.padEnd(width)}  ${sentence}`,
    ),
    '',
  ]);
  const count = (severity: Severity, word: string) => {
    const number = all.filter((one) => one.severity === severity).length;
    return `${number} ${word}${number === 1 ? '' : 's'}`;
  };
  return [...lines, `${count('fault', 'fault')}, ${count('warning', 'warning')}.`];
}

/** 0 where all is well, 1 with warnings, 2 with faults. */
export function exitStatusOf(sections: readonly Section[]): 0 | 1 | 2 {
  const severities = new Set(
    sections.flatMap(({ findings }) => findings.map((one) => one.severity)),
  );
  if (severities.has('fault')) return 2;
  return severities.has('warning') ? 1 : 0;
}
