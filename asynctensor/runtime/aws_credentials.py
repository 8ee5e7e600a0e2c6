"""The resource ``aws_credentials``: who asks AWS, or a service that signs as AWS does.

JSON (TensorStore's, and ``static`` beyond it)::

    {"type": "default" [, "profile": ...]}
    {"type": "anonymous"}
    {"type": "environment"}                          ; AWS_ACCESS_KEY_ID ...
    {"type": "imds"}
    {"type": "profile" [, "profile": ...] [, "config_file": ...] [, "credentials_file": ...]}
    {"type": "ecs" [, "endpoint": ...] [, "auth_token_file": ...]}
    {"type": "static", "access_key_id": ..., "secret_access_key": ... [, "session_token": ...]}

The secrets of ``static`` are left out of every JSON, repr and pickle made from the resource.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.resource_type import ResourceType, typed_members

#: The members of each type beside ``type``.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "default": ("profile",),
    "anonymous": (),
    "environment": (),
    "imds": (),
    "profile": ("profile", "config_file", "credentials_file"),
    "ecs": ("endpoint", "auth_token_file"),
    "static": ("access_key_id", "secret_access_key", "session_token"),
}


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Where the keys are that requests are signed with.

    Attributes:
        type: One of the types above.
        options: The members of that type, but for secrets, as pairs.
        secret_access_key: With ``"static"``; None where it was left behind by pickling.
        session_token: With ``"static"``, if there is one.
    """

    type: str = "default"
    options: tuple[tuple[str, str], ...] = ()
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    def option(self, name: str) -> str | None:
        """A member; None if it is not given."""
        return dict(self.options).get(name)

    def __reduce__(self) -> tuple[object, ...]:
        # Without the secrets.
        return AwsCredentials, (self.type, self.options)


#: Requests that nobody signs.
ANONYMOUS = AwsCredentials("anonymous")


def aws_credentials_resource() -> ResourceType:
    """The resource."""
    return ResourceType("aws_credentials", {"type": "default"}, _parse, _same, _json)


def _same(config: Any) -> Any:
    return config


def _parse(value: Any) -> AwsCredentials:
    kind, given = typed_members(value, _MEMBERS)
    for name, text in given.items():
        if not isinstance(text, str) or not all(" " <= c <= "~" for c in text):
            raise InvalidArgument(
                f'Error parsing object member "{name}": Expected string of visible ASCII'
                if kind == "static"
                else f'Error parsing object member "{name}": Expected string'
            )
    if kind == "static" and not ("access_key_id" in given and "secret_access_key" in given):
        raise InvalidArgument(
            'Expected the members "access_key_id" and "secret_access_key"; secrets are not kept in '
            'specs and pickles, so use "environment" or "profile" where those are opened'
        )
    public = [n for n in _MEMBERS[kind] if n in given and n not in _SECRET]
    return AwsCredentials(
        kind,
        tuple((name, given[name]) for name in public),
        given.get("secret_access_key"),
        given.get("session_token"),
    )


_SECRET = frozenset({"secret_access_key", "session_token"})


def _json(config: AwsCredentials, include_defaults: bool) -> Any:
    return dict(sorted({"type": config.type, **dict(config.options)}.items()))
