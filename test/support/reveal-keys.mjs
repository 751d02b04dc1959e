// Unwraps sealed keys into objects that show themselves, with the token's PIN: what a test compares the world with.
// In: REVEAL, JSON { pin, blobs: [{ name, type, blob (hex) }] }. Out: JSON [{ name, value (hex) }].
import { Buffer } from 'node:buffer';
import process from 'node:process';
import graphene from 'graphene-pk11';
import { existsSync } from 'node:fs';

const { KeyType, MechanismEnum, Module, ObjectClass } = graphene;
const LIBRARIES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
];
const { pin, blobs } = JSON.parse(process.env.REVEAL);
const module = Module.load(
  LIBRARIES.find((path) => existsSync(path)),
  'SoftHSM',
);
module.initialize();
const session = module.getSlots(0, true).open(6);
session.login(pin);
const root = session
  .find({ class: ObjectClass.SECRET_KEY, keyType: KeyType.AES, token: true, unwrap: true })
  .items(0)
  .toType();
const shown = { token: false, private: true, sensitive: false, extractable: true };
const type = {
  'RSA-HSM': { class: ObjectClass.PRIVATE_KEY, keyType: KeyType.RSA },
  'EC-HSM': { class: ObjectClass.PRIVATE_KEY, keyType: KeyType.EC },
  'oct-HSM': { class: ObjectClass.SECRET_KEY, keyType: KeyType.GENERIC_SECRET },
};
const found = [];
for (const { name, type: kind, blob } of blobs) {
  const key = session.unwrapKey(
    { name: MechanismEnum.AES_KEY_WRAP_PAD, params: null },
    root,
    Buffer.from(blob, 'hex'),
    { ...type[kind], ...shown },
  );
  if (kind === 'RSA-HSM') {
    const { privateExponent, prime1 } = key.getAttribute({ privateExponent: null, prime1: null });
    found.push(
      { name, value: privateExponent.toString('hex') },
      { name: `${name} prime`, value: prime1.toString('hex') },
    );
  } else found.push({ name, value: key.getAttribute({ value: null }).value.toString('hex') });
}
process.stdout.write(JSON.stringify(found));
module.finalize();
