"""Full backups, with Microsoft's unmodified libraries for Python: every method of KeyVaultBackupClient.

full_backup.py URL CONTAINER, with the address of a pool and the URL of a container in Azure Blob storage; the variables SAS
(of that container), OTHER_SAS (of another one) and EXPIRED_SAS are tokens. Prints what it did, a line each; ends with status
1 at the first thing that is not as it should be. The pool is restored: whatever it got meanwhile is lost.
"""

import os
import re
import sys
import time
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.administration import KeyVaultBackupClient
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import EncryptionAlgorithm, KeyWrapAlgorithm

URL, CONTAINER = sys.argv[1:3]
SAS, OTHER_SAS, EXPIRED_SAS = (os.environ[name] for name in ("SAS", "OTHER_SAS", "EXPIRED_SAS"))
# A bare localhost can't be below the challenge's resource: there the client's check is switched off.
OPTIONS = {"verify_challenge_resource": "//localhost" not in URL}
CREDENTIAL = DefaultAzureCredential()
NAME = f"backup-{uuid.uuid4().hex[:8]}"
SECRET = os.urandom(32)
LIMIT = 180

keys = KeyClient(URL, CREDENTIAL, **OPTIONS)
backups = KeyVaultBackupClient(URL, CREDENTIAL, **OPTIONS)


def check(is_so: bool, what: str) -> None:
    if not is_so:
        sys.exit(f"NOT SO: {what}")
    print(what)


def timed(begin, *args, **kwargs):
    """What the client returns in the end, and how many seconds that took."""
    began = time.monotonic()
    poller = begin(*args, **kwargs)
    result = poller.result(LIMIT)
    check(poller.done() and poller.status() == "Succeeded", f"{begin.__name__}: {poller.status()}")
    return result, f"{time.monotonic() - began:.1f} s"


def refused(what: str, words: str, begin, *args, **kwargs) -> None:
    """The client must throw, with our words and without a token."""
    try:
        begin(*args, **kwargs).result(LIMIT)
        sys.exit(f"NOT SO: {what} is refused")
    except HttpResponseError as error:
        text = str(error)
        check(re.search(words, text) is not None, f"{what}: {type(error).__name__} {error.status_code}: {text!r}")
        check("sig=" not in text, "without a token in it")


def is_there(name: str) -> bool:
    try:
        return keys.get_key(name).name == name
    except ResourceNotFoundError:
        return False


rsa = keys.create_rsa_key(f"{NAME}-rsa", size=2048, hardware_protected=True)
aes = keys.create_oct_key(f"{NAME}-aes", size=256, hardware_protected=True)
wrapped = keys.get_cryptography_client(rsa.name).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, SECRET)
encrypted = keys.get_cryptography_client(aes.name).encrypt(EncryptionAlgorithm.a256_gcm, SECRET)


def opens(key: str) -> bool:
    """By the newest version of the key, whatever the client knows of it."""
    crypto = keys.get_cryptography_client(key)
    if key == rsa.name:
        return crypto.unwrap_key(wrapped.algorithm, wrapped.encrypted_key).key == SECRET
    of = {"iv": encrypted.iv, "authentication_tag": encrypted.tag}
    return crypto.decrypt(encrypted.algorithm, encrypted.ciphertext, **of).plaintext == SECRET


check(opens(rsa.name) and opens(aes.name), "two keys, and what they protect")

result, took = timed(backups.begin_pre_backup, CONTAINER, sas_token=SAS)
check(result is None, f"a backup would be possible ({took})")
backup, took = timed(backups.begin_backup, CONTAINER, sas_token=SAS)
folder = backup.folder_url
check(re.fullmatch(re.escape(CONTAINER) + r"/mhsm-\w+-\d{14}[\w-]*", folder) is not None, f"made {folder} ({took})")
again, _ = timed(backups.begin_backup, CONTAINER, SAS)
check(again.folder_url != folder, "another one, with the token as the second argument, has a folder of its own")

poller = backups.begin_backup(CONTAINER, sas_token=SAS)
resumed = backups.begin_backup(CONTAINER, sas_token=SAS, continuation_token=poller.continuation_token())
check(resumed.result(LIMIT).folder_url == poller.result(LIMIT).folder_url, "resumed by a continuation token")

result, took = timed(backups.begin_pre_restore, folder, sas_token=SAS)
check(result is None, f"a restore would be possible ({took})")

refused("a key that is there", "KeyExists", backups.begin_restore, folder, sas_token=SAS, key_name=rsa.name)
keys.begin_delete_key(rsa.name).wait()
keys.purge_deleted_key(rsa.name)
check(not is_there(rsa.name), "one key is purged")
_, took = timed(backups.begin_restore, folder, sas_token=SAS, key_name=rsa.name)
check(keys.get_key(rsa.name).id == rsa.id and opens(rsa.name), f"given back alone, it unwraps ({took})")

for what, begin, place in (("a backup", backups.begin_backup, CONTAINER), ("a restore", backups.begin_restore, folder)):
    refused(f"{what} by an expired token", "has expired", begin, place, sas_token=EXPIRED_SAS)
    refused(f"{what} by another container's token", "AuthorizationFailure", begin, place, sas_token=OTHER_SAS)
    refused(f"{what} by a managed identity", "managed identity", begin, place, use_managed_identity=True)
for what, begin, place in (
    ("a check", backups.begin_pre_backup, CONTAINER),
    ("a check of a backup", backups.begin_pre_restore, folder),
):
    refused(f"{what} by another container's token", "AuthorizationFailure", begin, place, sas_token=OTHER_SAS)
absent = f"{CONTAINER}/mhsm-none-20200101000000"
refused("a folder that is not there", "There is no", backups.begin_pre_restore, absent, sas_token=SAS)
refused("a key that is not in it", "KeyNotFound", backups.begin_restore, folder, sas_token=SAS, key_name=f"{NAME}-none")

keys.begin_delete_key(rsa.name).wait()
keys.purge_deleted_key(rsa.name)
later = keys.create_ec_key(f"{NAME}-later", hardware_protected=True)
_, took = timed(backups.begin_restore, folder, sas_token=SAS)
check(opens(rsa.name) and opens(aes.name), f"restored as a whole, what was protected is opened ({took})")
check(not is_there(later.name), "what came after the backup is gone")

print("done: full backups, with azure-keyvault-administration for Python")
