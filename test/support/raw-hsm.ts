import { type RawModule, startRawModule } from './raw-module.ts';
import { testToken } from './softhsm.ts';

type Handle = Buffer;
interface Attribute {
  readonly type: number;
  readonly value: Buffer;
}
export type Kind = 'rsa' | 'ec';
/** A mechanism, with its parameter as the binding takes it. */
export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: unknown;
}
type Flags = Readonly<Partial<Record<keyof typeof BOOLEANS, boolean>>>;

/**
 * NSS's, with a blank at their end: the binding (pkcs11js 2.1.7) cuts the last character off.
 */
export const PARAMETERS =
  "configdir='' certPrefix='' keyPrefix='' secmod='' flags=noCertDB,noModDB ";

/** Numbers of PKCS#11 (pkcs11t.h). */
const READ_WRITE = 6;
const USER = 1;
const CLASS = 0x0;
const KEY_TYPE = 0x100;
const VALUE = 0x11;
const BOOLEANS = {
  token: 0x1,
  private: 0x2,
  sensitive: 0x103,
  encrypt: 0x104,
  decrypt: 0x105,
  wrap: 0x106,
  unwrap: 0x107,
  sign: 0x108,
  verify: 0x10a,
  extractable: 0x162,
} as const;
const CLASSES = { public: 2, private: 3, secret: 4 } as const;
const KEY_TYPES = { rsa: 0, ec: 3, secret: 0x10, aes: 0x1f } as const;
const MECHANISMS = { rsa: 0x1, ec: 0x1041 } as const;
const HMAC_SHA256 = 0x251;
const P256 = Buffer.from('06082a8648ce3d030107', 'hex');
const OUTPUT_BYTES = 8192;

function numeric(type: number, value: number): Attribute {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return { type, value: bytes };
}

function flags(values: Flags): Attribute[] {
  return Object.entries(values).map(([name, value]) => ({
    type: BOOLEANS[name as keyof typeof BOOLEANS],
    value: Buffer.from([value ? 1 : 0]),
  }));
}

function named(objectClass: keyof typeof CLASSES, keyType: keyof typeof KEY_TYPES): Attribute[] {
  return [numeric(CLASS, CLASSES[objectClass]), numeric(KEY_TYPE, KEY_TYPES[keyType])];
}

const asMechanism = (mechanism: Mechanism | number): Mechanism =>
  typeof mechanism === 'number' ? { mechanism } : mechanism;

/** This worker's token by raw PKCS#11 calls, from a process of its own: for what a module does, without our code. */
export class RawHsm {
  readonly #module: RawModule;
  #slot: Handle = Buffer.alloc(8);
  #session: Handle = Buffer.alloc(8);

  private constructor(module: RawModule) {
    this.#module = module;
  }

  static async start(environment: Readonly<Record<string, string>>): Promise<RawHsm> {
    return new RawHsm(await startRawModule(environment));
  }

  /** What a call is answered with: its result as text (bytes in hex), or the name of the return value. */
  async told(work: Promise<unknown>): Promise<string> {
    return work.then(
      (result) => (Buffer.isBuffer(result) ? result.toString('hex') : String(result)),
      (error: unknown) => (error as Error).message,
    );
  }

  async initialise(options: { flags: number; libraryParameters?: string }): Promise<void> {
    await this.#module.call('C_Initialize', options);
  }

  async logIn(): Promise<void> {
    await this.initialise({ flags: 2 });
    await this.open();
  }

  /** A session on this worker's token, logged in. */
  async open(): Promise<void> {
    const { tokenLabel, pin } = testToken();
    const slots = await this.#result<Handle[]>('C_GetSlotList', true);
    for (const slot of slots) {
      const { label } = await this.#result<{ label: string }>('C_GetTokenInfo', slot);
      if (label.trimEnd() === tokenLabel) this.#slot = slot;
    }
    this.#session = await this.openAnother();
    await this.#result('C_Login', this.#session, USER, pin);
  }

  openAnother(): Promise<Handle> {
    return this.#result('C_OpenSession', this.#slot, READ_WRITE);
  }

  async sessionLimit(): Promise<number> {
    const info = await this.#result<{ maxSessionCount: number }>('C_GetTokenInfo', this.#slot);
    return info.maxSessionCount;
  }

  async description(): Promise<string> {
    const info = await this.#result<{ libraryDescription: string }>('C_GetInfo');
    return info.libraryDescription.trimEnd();
  }

  mechanisms(): Promise<readonly number[]> {
    return this.#result('C_GetMechanismList', this.#slot);
  }

  mechanismInfo(mechanism: number): Promise<{ flags: number }> {
    return this.#result('C_GetMechanismInfo', this.#slot, mechanism);
  }

  aesKey(value: Buffer): Promise<Handle> {
    const may = { encrypt: true, decrypt: true, wrap: true, unwrap: true, extractable: true };
    return this.#create('aes', value, { private: true, sensitive: true, ...may });
  }

  secret(value: Buffer, template: Flags = {}): Promise<Handle> {
    const may = { sign: true, wrap: true, encrypt: true, extractable: true, sensitive: false };
    return this.#create('secret', value, { ...may, ...template });
  }

  #create(keyType: 'aes' | 'secret', value: Buffer, template: Flags): Promise<Handle> {
    return this.#result('C_CreateObject', this.#session, [
      ...named('secret', keyType),
      ...flags({ token: false, ...template }),
      { type: VALUE, value },
    ]);
  }

  /** @param options whether the templates name class and key type */
  keyPair(
    kind: Kind,
    template: Flags = {},
    { isNamed = true } = {},
  ): Promise<{ publicKey: Handle; privateKey: Handle }> {
    const size: Attribute[] =
      kind === 'ec'
        ? [{ type: 0x180, value: P256 }]
        : [numeric(0x121, 2048), { type: 0x122, value: Buffer.from([1, 0, 1]) }];
    return this.#result(
      'C_GenerateKeyPair',
      this.#session,
      { mechanism: kind === 'ec' ? 0x1040 : 0x0 },
      [
        ...(isNamed ? named('public', kind) : []),
        ...flags({ token: false, verify: true, ...template }),
        ...size,
      ],
      [
        ...(isNamed ? named('private', kind) : []),
        ...flags({ token: false, sign: true, sensitive: true, extractable: true, ...template }),
      ],
    );
  }

  wrap(mechanism: Mechanism | number, wrapping: Handle, key: Handle): Promise<Buffer> {
    const output = Buffer.alloc(OUTPUT_BYTES);
    return this.#result('C_WrapKey', this.#session, asMechanism(mechanism), wrapping, key, output);
  }

  unwrapSecret(
    mechanism: Mechanism | number,
    key: Handle,
    wrapped: Buffer,
    template: Flags = {},
  ): Promise<Handle> {
    const open = { sensitive: false, extractable: true, ...template };
    return this.#unwrap(mechanism, key, wrapped, [...named('secret', 'secret'), ...flags(open)]);
  }

  unwrapAes(
    mechanism: Mechanism | number,
    key: Handle,
    wrapped: Buffer,
    template: Flags,
  ): Promise<Handle> {
    return this.#unwrap(mechanism, key, wrapped, [...named('secret', 'aes'), ...flags(template)]);
  }

  unwrapPrivate(
    mechanism: Mechanism | number,
    key: Handle,
    wrapped: Buffer,
    kind: Kind,
  ): Promise<Handle> {
    return this.#unwrap(mechanism, key, wrapped, [
      ...named('private', kind),
      ...flags({ token: false, private: true, sensitive: true, extractable: false, sign: true }),
    ]);
  }

  #unwrap(
    mechanism: Mechanism | number,
    key: Handle,
    wrapped: Buffer,
    template: readonly Attribute[],
  ): Promise<Handle> {
    return this.#result(
      'C_UnwrapKey',
      this.#session,
      asMechanism(mechanism),
      key,
      wrapped,
      template,
    );
  }

  async valueOf(key: Handle): Promise<string> {
    const wanted = [{ type: VALUE }];
    const found = await this.#result<Attribute[]>(
      'C_GetAttributeValue',
      this.#session,
      key,
      wanted,
    );
    return found[0]?.value.toString('hex') ?? '';
  }

  /** With the IV as it stands in the parameter afterwards. */
  async encrypt(
    mechanism: Mechanism,
    key: Handle,
    data: Buffer,
  ): Promise<{ output: Buffer; iv: Buffer }> {
    const begun = await this.#module.call('C_EncryptInit', this.#session, mechanism, key);
    const after = begun.given[1] as { parameter?: { iv?: Uint8Array } };
    const output = await this.#result<Buffer>(
      'C_Encrypt',
      this.#session,
      data,
      Buffer.alloc(OUTPUT_BYTES),
    );
    return { output, iv: Buffer.from(after.parameter?.iv ?? []) };
  }

  async decrypt(mechanism: Mechanism, key: Handle, data: Buffer): Promise<Buffer> {
    await this.#result('C_DecryptInit', this.#session, mechanism, key);
    return this.#result('C_Decrypt', this.#session, data, Buffer.alloc(OUTPUT_BYTES));
  }

  hmac(key: Handle, data: Buffer): Promise<Buffer> {
    return this.#sign(HMAC_SHA256, key, data);
  }

  sign(kind: Kind, key: Handle, digest: Buffer): Promise<Buffer> {
    return this.#sign(MECHANISMS[kind], key, digest);
  }

  async #sign(mechanism: number, key: Handle, data: Buffer): Promise<Buffer> {
    await this.#result('C_SignInit', this.#session, { mechanism }, key);
    return this.#result('C_Sign', this.#session, data, Buffer.alloc(OUTPUT_BYTES));
  }

  async verify(kind: Kind, key: Handle, digest: Buffer, signature: Buffer): Promise<boolean> {
    await this.#result('C_VerifyInit', this.#session, { mechanism: MECHANISMS[kind] }, key);
    return this.#result('C_Verify', this.#session, digest, signature);
  }

  async destroy(object: Handle): Promise<void> {
    await this.#result('C_DestroyObject', this.#session, object);
  }

  async countTokenObjects(): Promise<number> {
    await this.#result('C_FindObjectsInit', this.#session, flags({ token: true }));
    const found = await this.#result<Handle[]>('C_FindObjects', this.#session, 10_000);
    await this.#result('C_FindObjectsFinal', this.#session);
    return found.length;
  }

  async end(): Promise<void> {
    await this.#module.end();
  }

  async #result<Result>(
    name: Parameters<RawModule['call']>[0],
    ...given: readonly unknown[]
  ): Promise<Result> {
    const { result } = await this.#module.call<Result>(name, ...given);
    return buffersIn(result) as Result;
  }
}

/** Serialization makes arrays of bytes of buffers. */
function buffersIn(value: unknown): unknown {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(buffersIn);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, buffersIn(part)]));
}
