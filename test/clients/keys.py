"""The life of a key with Microsoft's unmodified libraries for Python (azure-identity, azure-keyvault-keys).

First: set -a; . .strongroom/client.env. Prints what it did, a line each; ends with status 1 at the first thing that is not
as it should be. An argument names another address than AZURE_MANAGEDHSM_URL.
"""

import base64
import hashlib
import os
import secrets
import sys

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import (
    ApiVersion,
    ExternalKey,
    JsonWebKey,
    KeyClient,
    KeyRotationLifetimeAction,
    KeyRotationPolicy,
    KeyRotationPolicyAction,
)
from azure.keyvault.keys.crypto import (
    CryptographyClient,
    EncryptionAlgorithm,
    KeySecureWrapAlgorithm,
    KeyWrapAlgorithm,
    SignatureAlgorithm,
)
from cryptography.hazmat.primitives.asymmetric import ec, rsa

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ["AZURE_MANAGEDHSM_URL"]
# A bare localhost can't be below the challenge's resource: there the client's check is switched off.
OPTIONS = {"verify_challenge_resource": "//localhost" not in URL}
RUN = secrets.token_hex(4)
MESSAGE = b"what is protected"

credential = DefaultAzureCredential()
client = KeyClient(URL, credential, **OPTIONS)


def name(kind):
    return f"py-{kind}-{RUN}"


def user(key):
    return CryptographyClient(key, credential, **OPTIONS)


def by_id(key):
    """Without the key itself the library reads it first, as a program does that keeps ids only."""
    return CryptographyClient(key.id, credential, **OPTIONS)


def by_hand(key, operation, algorithm, value, **more):
    """The call itself, through the library's own pipeline: 32-byte algorithms of secret keys need it, see invented()."""
    path = key.id.split("/", 3)[3]
    body = {"alg": algorithm, "value": encoded(value), **{part: encoded(text) for part, text in more.items()}}
    response = client.send_request(HttpRequest("POST", f"{path}/{operation}", json=body))
    response.raise_for_status()
    value = response.json()["value"]
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def invented(key):
    """Whether the library wraps with a secret of its own making, as it does (4.11.3) for A256KW and A256CBCPAD with a key
    whose secret it can't have: two clients of one key then don't understand each other, and what it wrapped is lost with it.
    """
    wrapped = user(key).wrap_key(KeyWrapAlgorithm.aes_256, bytes(32)).encrypted_key
    try:
        return by_hand(key, "unwrapkey", "A256KW", wrapped) != bytes(32)
    except HttpResponseError:
        return True


def check(what, is_so):
    if not is_so:
        sys.exit(f"FAILED: {what}")
    print(what)


def refused(error, action):
    try:
        action()
    except error as caught:
        return caught
    sys.exit(f"FAILED: {action} was not refused with {error.__name__}")


def create():
    keys = {}
    for size in (2048, 3072, 4096):
        keys[f"rsa-{size}"] = client.create_rsa_key(name(f"rsa-{size}"), size=size, hardware_protected=True)
    for curve in ("P-256", "P-256K", "P-384", "P-521"):
        keys[f"ec-{curve}"] = client.create_ec_key(name(f"ec-{curve}"), curve=curve, hardware_protected=True)
    for size in (128, 192, 256):
        keys[f"oct-{size}"] = client.create_oct_key(name(f"oct-{size}"), size=size, hardware_protected=True)
    for key in keys.values():
        check(f"created {key.key_type} {key.id}", key.key_type.endswith("-HSM") and not key.key.d and not key.key.k)
    tagged = client.create_key(name("tagged"), "EC", tags={"a": "b"}, enabled=False)
    check("created with tags, disabled", tagged.properties.tags == {"a": "b"} and not tagged.properties.enabled)
    return keys


def number(value, length=None):
    return value.to_bytes(length or (value.bit_length() + 7) // 8, "big")


def import_keys():
    private = rsa.generate_private_key(65537, 2048)
    numbers = private.private_numbers()
    imported = client.import_key(
        name("imported-rsa"),
        JsonWebKey(
            kty="RSA-HSM",
            key_ops=["sign", "verify", "decrypt", "encrypt"],
            n=number(numbers.public_numbers.n),
            e=number(numbers.public_numbers.e),
            d=number(numbers.d),
            p=number(numbers.p),
            q=number(numbers.q),
            dp=number(numbers.dmp1),
            dq=number(numbers.dmq1),
            qi=number(numbers.iqmp),
        ),
        hardware_protected=True,
        tags={"from": "outside"},
    )
    check(
        f"imported {imported.key_type} with its public key and tags",
        imported.key.n == number(numbers.public_numbers.n) and imported.properties.tags == {"from": "outside"},
    )
    pair = ec.generate_private_key(ec.SECP384R1()).private_numbers()
    imported = client.import_key(
        name("imported-ec"),
        JsonWebKey(
            kty="EC-HSM",
            crv="P-384",
            key_ops=["sign", "verify"],
            x=number(pair.public_numbers.x, 48),
            y=number(pair.public_numbers.y, 48),
            d=number(pair.private_value, 48),
        ),
    )
    digest = hashlib.sha384(MESSAGE).digest()
    signed = user(imported).sign(SignatureAlgorithm.es384, digest)
    # Verified by the library itself, with the public half alone.
    check("imported EC-HSM signs for its old public key", user(imported).verify(SignatureAlgorithm.es384, digest, signed.signature).is_valid)
    secret = secrets.token_bytes(32)
    imported = client.import_key(name("imported-oct"), JsonWebKey(kty="oct-HSM", k=secret, key_ops=["wrapKey", "unwrapKey"]))
    check("imported oct-HSM and got nothing of it back", imported.key.k is None)


def use(keys):
    for size in (2048, 3072, 4096):
        for algorithm in (EncryptionAlgorithm.rsa1_5, EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256):
            for crypto in (user(keys[f"rsa-{size}"]), by_id(keys[f"rsa-{size}"])):
                ciphertext = crypto.encrypt(algorithm, MESSAGE).ciphertext
                check(f"{algorithm.value}, {size} bits: decrypted the same", crypto.decrypt(algorithm, ciphertext).plaintext == MESSAGE)
                wrapped = crypto.wrap_key(KeyWrapAlgorithm(algorithm.value), MESSAGE).encrypted_key
                check(
                    f"{algorithm.value}, {size} bits: unwrapped the same",
                    crypto.unwrap_key(KeyWrapAlgorithm(algorithm.value), wrapped).key == MESSAGE,
                )
    for bits in (128, 192, 256):
        crypto = user(keys[f"oct-{bits}"])
        gcm = EncryptionAlgorithm(f"A{bits}GCM")
        sealed = crypto.encrypt(gcm, MESSAGE, additional_authenticated_data=b"to whom")
        opened = crypto.decrypt(
            gcm,
            sealed.ciphertext,
            iv=sealed.iv,
            authentication_tag=sealed.tag,
            additional_authenticated_data=b"to whom",
        )
        check(f"{gcm.value}: decrypted the same", opened.plaintext == MESSAGE and len(sealed.iv) == 12)
        for suffix, plaintext in (("CBC", secrets.token_bytes(32)), ("CBCPAD", MESSAGE)):
            cbc, iv = EncryptionAlgorithm(f"A{bits}{suffix}"), secrets.token_bytes(16)
            ciphertext = by_hand(keys[f"oct-{bits}"], "encrypt", cbc.value, plaintext, iv=iv)
            check(
                f"{cbc.value}, by hand: decrypted the same",
                by_hand(keys[f"oct-{bits}"], "decrypt", cbc.value, ciphertext, iv=iv) == plaintext,
            )
        secret = secrets.token_bytes(32)
        wrapped = by_hand(keys[f"oct-{bits}"], "wrapkey", f"A{bits}KW", secret)
        # RFC 3394 under another name.
        unwrapped = crypto.unwrap_key(KeyWrapAlgorithm.ckm_aes_key_wrap, wrapped).key
        check(f"A{bits}KW, by hand: unwrapped as CKM_AES_KEY_WRAP", unwrapped == secret)
        for algorithm, secret in (
            (KeyWrapAlgorithm.ckm_aes_key_wrap, secrets.token_bytes(32)),
            (KeyWrapAlgorithm.ckm_aes_key_wrap_pad, secrets.token_bytes(21)),
        ):
            wrapped = crypto.wrap_key(algorithm, secret).encrypted_key
            check(f"{algorithm.value}, {bits} bits: unwrapped the same", crypto.unwrap_key(algorithm, wrapped).key == secret)
        for hs, hashed in (("HS256", 32), ("HS384", 48), ("HS512", 64)):
            algorithm = SignatureAlgorithm(hs)
            signature = crypto.sign(algorithm, MESSAGE).signature
            check(f"{hs}, {bits} bits: verified", len(signature) == hashed and crypto.verify(algorithm, MESSAGE, signature).is_valid)
    print(
        "A256KW: "
        + ("THE LIBRARY WRAPS WITH A SECRET OF ITS OWN" if invented(keys["oct-256"]) else "the library asks the service")
    )
    hashes = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
    signing = [(f"{family}{bits}", "rsa-2048", bits) for family in ("RS", "PS") for bits in hashes]
    signing += [("ES256", "ec-P-256", "256"), ("ES256K", "ec-P-256K", "256"), ("ES384", "ec-P-384", "384"), ("ES512", "ec-P-521", "512")]
    for algorithm, key, bits in signing:
        digest = hashes[bits](MESSAGE).digest()
        other = hashes[bits](b"another").digest()
        for crypto in (user(keys[key]), by_id(keys[key])):
            signature = crypto.sign(SignatureAlgorithm(algorithm), digest).signature
            check(
                f"{algorithm}: verified, and not for another digest",
                crypto.verify(SignatureAlgorithm(algorithm), digest, signature).is_valid
                and not crypto.verify(SignatureAlgorithm(algorithm), other, signature).is_valid,
            )


def change(keys):
    key = keys["ec-P-256"]
    updated = client.update_key_properties(key.name, key.properties.version, tags={"c": "d"}, key_operations=["verify"])
    check("updated tags and operations", updated.properties.tags == {"c": "d"} and updated.key_operations == ["verify"])
    refusal = refused(HttpResponseError, lambda: raw_sign(key))
    check(f"signing is refused then: {refusal.status_code} {refusal.error.code}", refusal.status_code == 403)
    second = client.create_ec_key(key.name, curve="P-256", hardware_protected=True)
    versions = {one.version for one in client.list_properties_of_key_versions(key.name)}
    check("two versions", versions == {key.properties.version, second.properties.version})
    check("the newest answers for the name", client.get_key(key.name).id == second.id)
    check("the first is still there", client.get_key(key.name, key.properties.version).id == key.id)
    listed = [one.name for one in client.list_properties_of_keys()]
    check(f"listed {len(listed)} keys, each once", len(listed) == len(set(listed)) and key.name in listed)
    pages = [list(page) for page in client.list_properties_of_keys(max_page_size=5).by_page()]
    check(f"in {len(pages)} pages", sorted(one.name for page in pages for one in page) == sorted(listed))


def raw_sign(key):
    """The library would refuse by itself, knowing the key's operations: this key is stale."""
    stale = CryptographyClient(key, credential, **OPTIONS)
    return stale.sign(SignatureAlgorithm.es256, hashlib.sha256(MESSAGE).digest())


def rotate():
    key = client.create_oct_key(name("rotated"), size=256, hardware_protected=True)
    policy = client.update_key_rotation_policy(
        key.name,
        KeyRotationPolicy(),
        expires_in="P90D",
        lifetime_actions=[KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P60D")],
    )
    read = client.get_key_rotation_policy(key.name)
    check("set and read a rotation policy", policy.expires_in == read.expires_in == "P90D" and len(read.lifetime_actions) == 1)
    wrapped = user(key).wrap_key(KeyWrapAlgorithm.ckm_aes_key_wrap, bytes(32))
    rotated = client.rotate_key(key.name)
    lasts = rotated.properties.expires_on - rotated.properties.created_on
    check(f"rotated: a new version that lasts {lasts.days} days", rotated.id != key.id and lasts.days == 90)
    check("what the old one wrapped is unwrapped", user(key).unwrap_key(KeyWrapAlgorithm.ckm_aes_key_wrap, wrapped.encrypted_key).key == bytes(32))


def back_up():
    key = client.create_oct_key(name("kept"), size=256, hardware_protected=True, tags={"a": "b"})
    wrapped = user(key).wrap_key(KeyWrapAlgorithm.ckm_aes_key_wrap, bytes(32)).encrypted_key
    backup = client.backup_key(key.name)
    client.begin_delete_key(key.name, _polling_interval=0.1).wait()
    client.purge_deleted_key(key.name)
    refused(ResourceNotFoundError, lambda: client.get_key(key.name))
    restored = client.restore_key_backup(backup)
    check(f"backed up to {len(backup)} bytes, purged, restored", restored.id == key.id and restored.properties.tags == {"a": "b"})
    check("the restored key unwraps", user(restored).unwrap_key(KeyWrapAlgorithm.ckm_aes_key_wrap, wrapped).key == bytes(32))
    refusal = refused(HttpResponseError, lambda: client.restore_key_backup(backup[:-9] + b"AAAAAAAAA"))
    check(f"an altered backup is refused: {refusal.status_code} {refusal.error.code}", (refusal.status_code, refusal.error.code) == (400, "MalformedBackupBlob"))


def end():
    key = client.create_rsa_key(name("mortal"), size=2048, hardware_protected=True)
    deleted = client.begin_delete_key(key.name, _polling_interval=0.1).result()
    check(f"deleted; to be purged {deleted.scheduled_purge_date:%Y-%m-%d}", deleted.recovery_id.endswith(f"/deletedkeys/{key.name}"))
    refused(ResourceNotFoundError, lambda: client.get_key(key.name))
    refusal = refused(ResourceExistsError, lambda: client.create_rsa_key(key.name, size=2048, hardware_protected=True))
    check(f"its name is not free: {refusal.error.code}", refusal.error.innererror["code"] == "ObjectIsDeletedButRecoverable")
    check("listed among the deleted", key.name in [one.name for one in client.list_deleted_keys()])
    check("found among the deleted", client.get_deleted_key(key.name).id == key.id)
    recovered = client.begin_recover_deleted_key(key.name, _polling_interval=0.1).result()
    check("recovered", recovered.id == key.id)
    client.begin_delete_key(key.name, _polling_interval=0.1).wait()
    client.purge_deleted_key(key.name)
    refused(ResourceNotFoundError, lambda: client.get_deleted_key(key.name))
    print("purged")


def older_versions():
    for version in (ApiVersion.V7_0, ApiVersion.V7_1, ApiVersion.V7_2, ApiVersion.V7_3, ApiVersion.V7_4, ApiVersion.V7_5, ApiVersion.V7_6):
        older = KeyClient(URL, credential, api_version=version, **OPTIONS)
        key = older.create_rsa_key(name("older"), size=2048, hardware_protected=True)
        check(f"api-version {version.value}: created and read", older.get_key(key.name).id == key.id)


def newer_operations():
    for size in (128, 192, 256):
        key = client.get_key(keys[f"oct-{size}"].name)
        check(f"a key of {size} bits says so", key.properties.key_size == size)
    check("a pair of keys has no such size", client.get_key(keys["rsa-2048"].name).properties.key_size is None)
    for kind, algorithm, length in (
        ("oct-128", KeySecureWrapAlgorithm.aes_128, 40),
        ("oct-256", KeySecureWrapAlgorithm.aes_256_pad, 40),
        ("rsa-2048", KeySecureWrapAlgorithm.rsa_oaep_256, 256),
    ):
        crypto = user(keys[kind])
        wrapped = crypto.secure_wrap_key(algorithm).encrypted_key
        check(f"a fresh key is wrapped by {algorithm.value}", len(wrapped) == length)
        refusal = refused(HttpResponseError, lambda: crypto.secure_unwrap_key(algorithm, wrapped, "no token"))
        check(f"and stays in: {refusal.error.message}", "no release policy" in refusal.error.message)
    refusal = refused(HttpResponseError, lambda: client.create_external_key(name("external"), ExternalKey(id="a1")))
    check(f"no external keys: {refusal.error.message}", "external keys are not available" in refusal.error.message)


keys = create()
import_keys()
use(keys)
change(keys)
check("128 random bytes", len(client.get_random_bytes(128)) == 128)
rotate()
back_up()
end()
older_versions()
newer_operations()
print("done: the life of a key, with azure-keyvault-keys for Python")
