"""A security domain by Microsoft's unmodified azure-keyvault-securitydomain: az-domain.clients.ts says when.

Arguments: the pool's address, a file with a token, then `download REQUEST` (prints the domain), `transfer-key` (prints it)
or `upload BLOB`. Each waits until its operation has ended.
"""

import json
import sys
import time
from pathlib import Path

from azure.core.credentials import AccessToken
from azure.keyvault.securitydomain import SecurityDomainClient

URL, TOKEN, VERB, *FILES = sys.argv[1:]


class Token:
    """The token that is given."""

    def get_token(self, *_scopes, **_options):
        return AccessToken(Path(TOKEN).read_text(encoding="utf8"), int(time.time()) + 600)


# A bare localhost can't be below the challenge's resource.
client = SecurityDomainClient(URL, Token(), verify_challenge_resource=False)
if VERB == "download":
    poller = client.begin_download(json.loads(Path(FILES[0]).read_text(encoding="utf8")))
    print(poller.result().value)
    assert client.get_download_status().status == "Success"
elif VERB == "transfer-key":
    print(json.dumps(client.get_transfer_key().as_dict()))
else:
    client.begin_upload({"value": Path(FILES[0]).read_text(encoding="utf8")}).wait()
    assert client.get_upload_status().status == "Success"
