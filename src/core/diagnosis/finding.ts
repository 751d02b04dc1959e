/**
 * `warning`: something that is missing, or that will cost sooner or later; `fault`: the service doesn't serve with it, or
 * loses what it has acknowledged.
 */
export type Severity = 'ok' | 'warning' | 'fault';

/** What an examination of a deployment has found, in a sentence for its operator. No secret is among it. */
export interface Finding {
  readonly severity: Severity;
  /** In a word or two, such as "RFC 5649". */
  readonly subject: string;
  readonly sentence: string;
}

export function ok(subject: string, sentence: string): Finding {
  return { severity: 'ok', subject, sentence };
}

export function warning(subject: string, sentence: string): Finding {
  return { severity: 'warning', subject, sentence };
}

export function fault(subject: string, sentence: string): Finding {
  return { severity: 'fault', subject, sentence };
}

/**
 * What an examination finds, or why it could not be made: an error's message is the sentence.
 */
export async function findings(
  subject: string,
  examine: () => Promise<readonly Finding[]> | readonly Finding[],
): Promise<readonly Finding[]> {
  try {
    return await examine();
  } catch (error) {
    return [fault(subject, error instanceof Error ? error.message : String(error))];
  }
}
