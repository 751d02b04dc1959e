/** An OAuth error (RFC 6749 §5.2) with the number by which Entra ID's clients know it. */
export class Refusal extends Error {
  readonly status: number;
  readonly error: string;
  readonly number: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    status: number,
    error: string,
    number: number,
    description: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(description);
    this.status = status;
    this.error = error;
    this.number = number;
    this.headers = headers;
  }
}

/** As a discovery document is refused; the token endpoint says `invalid_request`. */
export function unknownTenant(error = 'invalid_tenant'): Refusal {
  return new Refusal(400, error, 90002, 'The tenant is not known here.');
}
