"""Who may what, with Microsoft's unmodified library for Python: every method of KeyVaultAccessControlClient, and settings.

First: set -a; . .strongroom/client.env. Prints what it did, a line each; ends with status 1 at the first thing that is not
as it should be. An argument names another address than AZURE_MANAGEDHSM_URL.
"""

import os
import sys
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.administration import (
    KeyVaultAccessControlClient,
    KeyVaultDataAction,
    KeyVaultPermission,
    KeyVaultRoleScope,
    KeyVaultSetting,
    KeyVaultSettingsClient,
)

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ["AZURE_MANAGEDHSM_URL"]
# A bare localhost can't be below the challenge's resource: there the client's check is switched off.
OPTIONS = {"verify_challenge_resource": "//localhost" not in URL}
CREDENTIAL = DefaultAzureCredential()
ROOT = KeyVaultRoleScope.GLOBAL
READ = KeyVaultDataAction.READ_HSM_KEY
WRAP = KeyVaultDataAction.WRAP_HSM_KEY


def check(is_so: bool, what: str) -> None:
    if not is_so:
        sys.exit(f"NOT SO: {what}")
    print(what)


roles = KeyVaultAccessControlClient(URL, CREDENTIAL, **OPTIONS)

made = roles.set_role_definition(
    ROOT, role_name="reader", description="reads keys", permissions=[KeyVaultPermission(data_actions=[READ])]
)
check(made.role_name == "reader" and made.permissions[0].data_actions == [READ], "a custom role is made")
roles.set_role_definition(
    ROOT, name=made.name, role_name="wrapper", permissions=[KeyVaultPermission(data_actions=[READ, WRAP])]
)
found = roles.get_role_definition(ROOT, made.name)
check(found.role_name == "wrapper" and found.permissions[0].data_actions == [READ, WRAP], "it is changed and read")
listed = {definition.name: definition for definition in roles.list_role_definitions(ROOT)}
check(made.name in listed and len(listed) >= 10, f"listed among {len(listed)} roles")

built_in = next(one for one in listed.values() if one.role_name == "Managed HSM Administrator")
try:
    roles.set_role_definition(ROOT, name=built_in.name, permissions=[])
    sys.exit("NOT SO: a built-in role is left alone")
except HttpResponseError as error:
    check(error.status_code == 400, "a built-in role is left alone")

principal = str(uuid.uuid4())
for scope in (KeyVaultRoleScope.KEYS, "/keys/some-key", ROOT):
    assignment = roles.create_role_assignment(scope, made.id, principal)
    check(assignment.properties.principal_id == principal, f"assigned at {assignment.properties.scope}")
    check(roles.get_role_assignment(scope, assignment.name).name == assignment.name, "read")
    check(assignment.name in [one.name for one in roles.list_role_assignments(scope)], "listed")
    roles.delete_role_assignment(scope, assignment.name)
    roles.delete_role_assignment(scope, assignment.name)
    try:
        roles.get_role_assignment(scope, assignment.name)
        sys.exit("NOT SO: it is gone")
    except ResourceNotFoundError:
        print("deleted, and deleted again without an error")

roles.delete_role_definition(ROOT, made.name)
roles.delete_role_definition(ROOT, made.name)
check(made.name not in [one.name for one in roles.list_role_definitions(ROOT)], "the custom role is deleted")

settings = KeyVaultSettingsClient(URL, CREDENTIAL, **OPTIONS)
names = [setting.name for setting in settings.list_settings()]
check("AllowKeyManagementOperationsThroughARM" in names, f"settings: {', '.join(names)}")
before = settings.get_setting("AllowRsa15")
for value in (not before.getboolean(), before.getboolean()):
    after = settings.update_setting(
        KeyVaultSetting(name="AllowRsa15", value=value, setting_type=before.setting_type)
    )
    check(after.getboolean() == value, f"AllowRsa15 is {after.value}")

print("done: roles and settings, with azure-keyvault-administration for Python")
