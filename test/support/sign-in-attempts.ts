import { type Answer, type Caller, createCaller } from './client.ts';

interface Service {
  readonly port: number;
  readonly ca: string;
}

/** Of the attackers' requests. */
export interface GuessingOutcome {
  /** How often which status came. */
  readonly statuses: Readonly<Record<number, number>>;
  /** Retry-After of each 429, in seconds. */
  readonly retryAfter: readonly number[];
}

/** Asks the token endpoint by the client credentials grant. */
export function signIn(call: Caller, clientId: string, clientSecret: string): Promise<Answer> {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    scope: 'https://strongroom.localhost/.default',
  });
  return call('POST', '/adfs/oauth2/v2.0/token', form.toString(), {
    'Content-Type': 'application/x-www-form-urlencoded',
  });
}

/**
 * Guesses secrets as fast as answers come, 16 at a time from each address, until it is told to end.
 * @param nextClientId whose secret is guessed next
 */
export async function guess(
  service: Service,
  addresses: readonly string[],
  nextClientId: () => string,
  isOver: (statuses: Readonly<Record<number, number>>) => boolean,
  atOnce = 16,
): Promise<GuessingOutcome> {
  const statuses: Record<number, number> = {};
  const retryAfter: number[] = [];
  let guesses = 0;
  await Promise.all(
    addresses.map(async (address) => {
      const call = createCaller(service, undefined, { localAddress: address });
      await Promise.all(
        Array.from({ length: atOnce }, async () => {
          while (!isOver(statuses)) {
            guesses += 1;
            const { status, headers } = await signIn(call, nextClientId(), `srm_guess-${guesses}`);
            statuses[status] = (statuses[status] ?? 0) + 1;
            if (status === 429) retryAfter.push(Number(headers['retry-after']));
          }
        }),
      );
      call.close();
    }),
  );
  return { statuses, retryAfter };
}
