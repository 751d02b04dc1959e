"""Microsoft's unmodified credentials for Python (azure-identity): what each identity may do with a key, and what it may not.

The first argument is one of the names below, the second the pool's address, the third a key that is there; all settings of
the credential are in the environment. Prints the outcomes as JSON: the role lets it wrap, and create nothing.
"""

import json
import os
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

NAME, URL, KEY = sys.argv[1:4]
# A bare localhost can't be below the challenge's resource: there the client's check is switched off.
OPTIONS = {"verify_challenge_resource": "//localhost" not in URL}


def application():
    return {"tenant_id": os.environ["AZURE_TENANT_ID"], "client_id": os.environ["AZURE_CLIENT_ID"]}


def with_certificate(**options):
    return CertificateCredential(**application(), certificate_path=os.environ["CERTIFICATE_FILE"], **options)


CREDENTIALS = {
    "ClientSecretCredential": lambda: ClientSecretCredential(
        **application(), client_secret=os.environ["CLIENT_SECRET"]
    ),
    "CertificateCredential": with_certificate,
    "CertificateCredential with its chain": lambda: with_certificate(send_certificate_chain=True),
    "WorkloadIdentityCredential": WorkloadIdentityCredential,
    "ManagedIdentityCredential": ManagedIdentityCredential,
}

credential = CREDENTIALS[NAME]()
keys = KeyClient(URL, credential, **OPTIONS)


def outcome_of(act):
    try:
        act()
        return "done"
    except HttpResponseError as error:
        return f"{error.status_code} {error.error.code if error.error else error.message}"


def wrap():
    # The library makes some algorithms of secret keys itself; this one it leaves to the service.
    wrapped = CryptographyClient(keys.get_key(KEY), credential, **OPTIONS).wrap_key(
        KeyWrapAlgorithm.rsa_oaep_256, bytes(32)
    )
    assert len(wrapped.encrypted_key) == 256


print(json.dumps({"wrap_key": outcome_of(wrap), "create_key": outcome_of(lambda: keys.create_oct_key(f"{KEY}-more"))}))
