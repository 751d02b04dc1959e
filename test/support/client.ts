import { Agent, request } from 'node:https';

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Header lines as sent, name and value in turn: repeated ones show. */
  readonly rawHeaders: readonly string[];
  readonly text: string;
  /** Parsed, in the shape that the test says it has; throws where it is no JSON. */
  json<Shape = unknown>(): Shape;
}

export type Caller = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answer>;

/** Bare HTTPS, for what SDKs hide; `token` is sent as the bearer token where given. */
export function createCaller(
  service: {
    readonly port: number;
    readonly ca: string;
    /** Of another machine, and the name that its certificate has. */
    readonly address?: string;
    readonly name?: string;
  },
  token?: string,
  /** A client certificate and its key, PEM; an IPv4 address of this machine that the connections come from. */
  {
    localAddress,
    ...tls
  }: { readonly cert?: string; readonly key?: string; readonly localAddress?: string } = {},
): Caller & { close(): void } {
  const from = localAddress === undefined ? {} : { localAddress, family: 4 };
  const agent = new Agent({ ...tls, ca: service.ca, keepAlive: true, maxSockets: 32, ...from });
  const call: Caller = (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
      const outgoing = request(
        {
          agent,
          host: service.address ?? 'localhost',
          ...(service.name !== undefined && { servername: service.name }),
          port: service.port,
          method,
          path,
          headers: {
            ...(service.name !== undefined && { Host: service.name }),
            'Content-Length': Buffer.byteLength(text),
            ...(body !== undefined && { 'Content-Type': 'application/json' }),
            ...(token !== undefined && { Authorization: `Bearer ${token}` }),
            ...headers,
          },
        },
        (incoming) => {
          let received = '';
          incoming.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
          incoming.on('error', reject).on('end', () => {
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              rawHeaders: incoming.rawHeaders,
              text: received,
              json: <Shape>() => JSON.parse(received) as Shape,
            });
          });
        },
      );
      outgoing.on('error', reject).end(text);
    });
  return Object.assign(call, {
    close: () => {
      agent.destroy();
    },
  });
}

/** How a client proves who it is: by a secret, or by a JWT that a certificate's key has signed. */
export type Credentials = { readonly clientId: string } & (
  { readonly clientSecret: string } | { readonly assertion: string }
);

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** A token by the client-credentials grant, as Azure's libraries ask for it. */
export async function fetchToken(
  service: { readonly port: number; readonly ca: string },
  credentials: Credentials,
  resource = 'https://strongroom.localhost',
): Promise<string> {
  const call = createCaller(service);
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: credentials.clientId,
    ...('clientSecret' in credentials
      ? { client_secret: credentials.clientSecret }
      : { client_assertion: credentials.assertion, client_assertion_type: ASSERTION_TYPE }),
    scope: `${resource}/.default`,
  });
  const answer = await call('POST', '/adfs/oauth2/token', form.toString(), {
    'Content-Type': 'application/x-www-form-urlencoded',
  });
  call.close();
  if (answer.status !== 200) throw new Error(`no token: ${answer.text}`);
  return answer.json<{ access_token: string }>().access_token;
}
