"""The resource ``http_credentials``: who asks an HTTP server.

JSON::

    {"type": "none"}
    {"type": "basic", "username": ..., "password" | "password_variable" | "password_file": ...}
    {"type": "bearer", "token" | "token_variable" | "token_file": ...}

A secret that stands in the JSON itself is left out of every JSON, repr and pickle made from the
resource; what names a variable of the environment or a file can be opened again elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.resource_type import ResourceType, members, wrong_member

#: What the secret of each type is called.
_SECRET = {"basic": "password", "bearer": "token"}


@dataclass(frozen=True, slots=True)
class HttpCredentials:
    """Who asks, and where the secret is.

    Attributes:
        type: ``"none"``, ``"basic"`` or ``"bearer"``.
        username: With ``"basic"``.
        secret: The password or token; None if it is elsewhere.
        variable: The variable of the environment that holds it, if one does.
        file: The file that holds it, if one does; it is read again when the server refuses.
    """

    type: Literal["none", "basic", "bearer"] = "none"
    username: str = ""
    secret: str | None = field(default=None, repr=False)
    variable: str | None = None
    file: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Without the secret.
        return HttpCredentials, (self.type, self.username, None, self.variable, self.file)


#: Nobody in particular.
NOBODY = HttpCredentials()


def http_credentials_resource() -> ResourceType:
    """The resource."""
    return ResourceType("http_credentials", {"type": "none"}, _parse, _same, _json, is_ours=True)


def _same(config: Any) -> Any:
    return config


def _parse(value: Any) -> HttpCredentials:
    if not isinstance(value, dict):
        # Whatever it is, it may be a secret.
        raise InvalidArgument(f"Expected object, but received: {type(value).__name__}")
    kind = value.get("type")
    if kind == "none":
        members(value, "type")
        return NOBODY
    if kind not in tuple(_SECRET):  # It may be anything.
        raise wrong_member("type", '"none", "basic" or "bearer"', kind)
    secret = _SECRET[kind]
    places = (secret, f"{secret}_variable", f"{secret}_file")
    known = ("type", *(("username",) if kind == "basic" else ()), *places)
    for name, text in members(value, *known).items():
        if not isinstance(text, str) or not all(c >= " " for c in text):
            raise InvalidArgument(f'Error parsing object member "{name}": Expected string')
    if kind == "basic" and ("username" not in value or ":" in value["username"]):
        raise InvalidArgument('Error parsing object member "username": Expected name without ":"')
    if sum(place in value for place in places) != 1:
        raise InvalidArgument(
            f"Expected one of the members {', '.join(places)}; a secret is not kept in specs and "
            "pickles, so name a variable or a file where those are opened"
        )
    return HttpCredentials(kind, value.get("username", ""), *(value.get(place) for place in places))


def _json(config: HttpCredentials, include_defaults: bool) -> Any:
    found: dict[str, Any] = {"type": config.type}
    if config.type == "basic":
        found["username"] = config.username
    if config.variable is not None:
        found[f"{_SECRET[config.type]}_variable"] = config.variable
    if config.file is not None:
        found[f"{_SECRET[config.type]}_file"] = config.file
    return found
