"""What the functions of az's `keyvault security-domain` make of files: security-domain.clients.ts says which.

Nothing of them is changed, and nothing here computes what they compute. az only reads domains, so `make` puts one
together from its parts: ByteShares gives the shares, whose words are packed here as ByteShares reads them (az's own
Share.to_uint16 packs in another way, and is used by nobody).
"""

import array
import json
import sys
from types import SimpleNamespace

from azure.cli.command_modules.keyvault import custom
from azure.cli.command_modules.keyvault.security_domain.byte_shares import ByteShares
from azure.cli.command_modules.keyvault.security_domain.jwe import JWE
from azure.cli.command_modules.keyvault.security_domain.shared_secret import SharedSecret
from azure.cli.command_modules.keyvault.security_domain.sp800_108 import KDF
from azure.cli.command_modules.keyvault.security_domain.utils import Utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate


def read(path):
    with open(path, "rb") as file:
        return file.read()


def pack(share):
    return share.x << 9 | share.v


def entry_key(master, tag):
    return KDF.sp800_108(bytearray(master), label=tag, context="", bit_length=512)


def vectors():
    """Shares of single bytes with the coefficients that they were made with, and keys of entries."""
    shares = []
    for required, count in [(2, 3), (2, 10), (3, 5), (10, 10), (2, 126)]:
        for byte in (0, 1, 0x80, 0xFF):
            polynomial = ByteShares(required, byte)
            words = [pack(polynomial.make_share(x)) for x in range(1, count + 1)]
            assert ByteShares.get_secret(array.array("H", words[-required:]), required) == byte
            shares.append(
                {
                    "required": required,
                    "byte": byte,
                    "coefficients": list(polynomial.coefficients[:-1]),
                    "words": words,
                }
            )
    keys = []
    for tag in ("hsm_backup", "partition_enclave_backup", "größe"):
        master = Utils.get_random(32)
        keys.append({"master": master.hex(), "tag": tag, "key": entry_key(master, tag).hex()})
    print(json.dumps({"shares": shares, "keys": keys}))


def combine(request):
    """[{required, words: [[of a share]]}] as the secrets that they give."""
    secrets = []
    for one in json.loads(read(request)):
        shares = [array.array("H", words) for words in one["words"]]
        secrets.append(SharedSecret.get_plaintext(shares, one["required"]).hex())
    print(json.dumps(secrets))


def make(request):
    """{required, certificates: [file], entries: [{tag, text}]} as a security domain."""
    request = json.loads(read(request))
    master = Utils.get_random(32)
    polynomials = [ByteShares(request["required"], byte) for byte in master]
    shares = []
    for x, file in enumerate(request["certificates"], 1):
        certificate = load_pem_x509_certificate(read(file))
        words = array.array("H", [pack(one.make_share(x)) for one in polynomials])
        envelope = JWE()
        envelope.encrypt_using_cert(certificate, words.tobytes())
        thumbprint = Utils.security_domain_b64_url_encode(Utils.get_SHA256_thumbprint(certificate))
        shares.append({"enc_key": envelope.encode_compact(), "x5t_256": thumbprint})
    data = []
    for entry in request["entries"]:
        envelope = JWE()
        key = entry_key(master, entry["tag"])
        envelope.encrypt_using_bytes(key, entry["text"].encode(), "A256CBC-HS512", kid=entry["tag"])
        data.append({"compact_jwe": envelope.encode_compact(), "tag": entry["tag"]})
    print(
        json.dumps(
            {
                "EncData": {"data": data, "kdf": "sp108_kdf"},
                "SharedKeys": {
                    "enc_shares": shares,
                    "key_algorithm": "shamir_share",
                    "required": request["required"],
                },
                "version": 2,
            }
        )
    )


def open_blob(blob, private_key):
    """What the pool to be restored would find in a restore blob."""
    blob = json.loads(read(blob))
    key = load_pem_private_key(read(private_key), password=None)
    master = JWE(blob["WrappedKey"]["enc_key"]).decrypt_using_private_key(key)
    entries = []
    for datum in blob["EncData"]["data"]:
        text = JWE(datum["compact_jwe"]).decrypt_using_bytes(entry_key(master, datum["tag"]))
        entries.append({"tag": datum["tag"], "text": text.decode()})
    print(json.dumps(entries))


class Poller:
    def __init__(self, value):
        self.value = value

    def result(self):
        return SimpleNamespace(value=self.value)

    def status(self):
        return "Success"


def download(required, answer, file, *certificates):
    """`security-domain download`: prints what it asks for, and keeps the answer (a file, or nothing) as it does."""

    def begin_download(certificate_info, skip_activation_polling):
        print(json.dumps(certificate_info))
        return Poller(read(answer).decode() if answer else "")

    client = SimpleNamespace(begin_download=begin_download)
    custom.security_domain_download(client, certificates, file, int(required), no_wait=True)


def init_recovery(answer, file):
    """`security-domain init-recovery`, given what the pool answers."""
    client = SimpleNamespace(get_transfer_key=lambda: json.loads(read(answer)))
    custom.security_domain_init_recovery(client, file)


if __name__ == "__main__":
    {
        "vectors": vectors,
        "combine": combine,
        "make": make,
        "open-blob": open_blob,
        "download": download,
        "init-recovery": init_recovery,
    }[sys.argv[1]](*sys.argv[2:])
