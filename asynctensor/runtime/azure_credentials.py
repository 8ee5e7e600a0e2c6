"""The resource ``azure_credentials``: who asks Azure Blob Storage.

JSON::

    {"type": "default"}
    {"type": "anonymous"}
    {"type": "shared_key" [, "key_variable": ...]}              ; AZURE_STORAGE_KEY
    {"type": "sas" [, "token_variable": ... | "token": ...]}    ; AZURE_STORAGE_SAS_TOKEN
    {"type": "connection_string" [, "variable": ...]}           ; AZURE_STORAGE_CONNECTION_STRING
    {"type": "environment"}                                     ; AZURE_CLIENT_ID ...
    {"type": "managed_identity" [, "client_id": ...]}
    {"type": "workload_identity" [, "client_id": ...] [, "tenant_id": ...]}
    {"type": "cli" [, "tenant_id": ...]}

A token that stands in the JSON itself is left out of every JSON, repr and pickle made from the
resource; the other types name where secrets are, and can be opened again elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.resource_type import ResourceType, typed_members

#: The members of each type beside ``type``.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "anonymous": (),
    "shared_key": ("key_variable",),
    "sas": ("token", "token_variable"),
    "connection_string": ("variable",),
    "environment": (),
    "managed_identity": ("client_id",),
    "workload_identity": ("client_id", "tenant_id"),
    "cli": ("tenant_id",),
}


@dataclass(frozen=True, slots=True)
class AzureCredentials:
    """Where the secrets are with which requests say who asks.

    Attributes:
        type: One of the types above.
        options: The members of that type, but for secrets, as pairs.
        token: A shared access signature given as it is; with type ``"sas"`` and no options, None
            says that it was left behind by pickling.
        has_token: Whether it was given.
    """

    type: str = "default"
    options: tuple[tuple[str, str], ...] = ()
    token: str | None = field(default=None, repr=False)
    has_token: bool = False

    def option(self, name: str) -> str | None:
        """A member; None if it is not given."""
        return dict(self.options).get(name)

    def __reduce__(self) -> tuple[object, ...]:
        # Without the secret.
        return AzureCredentials, (self.type, self.options, None, self.has_token)


#: Requests that nobody signs.
ANONYMOUS = AzureCredentials("anonymous")


def azure_credentials_resource() -> ResourceType:
    """The resource."""
    default = {"type": "default"}
    return ResourceType("azure_credentials", default, _parse, _same, _json, is_ours=True)


def _same(config: Any) -> Any:
    return config


def _parse(value: Any) -> AzureCredentials:
    kind, given = typed_members(value, _MEMBERS)
    for name, text in given.items():
        if not isinstance(text, str) or not text or not all("!" <= c <= "~" for c in text):
            raise InvalidArgument(
                f'Error parsing object member "{name}": Expected string of visible ASCII'
            )
    token = given.get("token")
    if token is not None and "token_variable" in given:
        raise InvalidArgument('Expected one of the members "token" and "token_variable"')
    public = [n for n in _MEMBERS[kind] if n in given and n != "token"]
    options = tuple((name, given[name]) for name in public)
    return AzureCredentials(kind, options, token, token is not None)


def _json(config: AzureCredentials, include_defaults: bool) -> Any:
    return {"type": config.type, **dict(config.options)}
