import { get } from 'node:https';
import { rootCertificates } from 'node:tls';

export interface HttpsJsonOptions {
  /** PEM of certificate authorities that are trusted besides the public ones. */
  readonly extraCa?: string;
  /** For the whole answer. */
  readonly deadlineMs: number;
  readonly sizeLimit: number;
}

/**
 * Gets a JSON document over HTTPS: the server's certificate is checked, redirects are not followed, and neither a slow nor
 * a large answer is waited for.
 * @throws Error when there is no such answer
 */
export function createHttpsJson({ extraCa, deadlineMs, sizeLimit }: HttpsJsonOptions) {
  const trust = extraCa === undefined ? {} : { ca: [...rootCertificates, extraCa] };
  return (url: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(deadlineMs);
      // An agent would keep connections, and pass over what is asked of the certificate on those that it has.
      const options = { ...trust, agent: false, rejectUnauthorized: true, signal };
      const request = get(
        url,
        { ...options, headers: { accept: 'application/json' } },
        (answer) => {
          const parts: Buffer[] = [];
          let size = 0;
          if (answer.statusCode !== 200)
            request.destroy(new Error(`the status is ${String(answer.statusCode)}`));
          answer.on('data', (part: Buffer) => {
            size += part.length;
            if (size > sizeLimit) request.destroy(new Error('the answer is too large'));
            else parts.push(part);
          });
          answer.on('error', reject);
          answer.on('aborted', () => {
            reject(new Error('the answer was cut off'));
          });
          answer.on('end', () => {
            try {
              resolve(JSON.parse(Buffer.concat(parts).toString('utf8')));
            } catch (error) {
              reject(error instanceof Error ? error : new Error('not JSON'));
            }
          });
        },
      );
      request.on('error', reject);
    });
}
