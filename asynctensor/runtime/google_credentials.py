"""The resources ``gcs_credentials`` and ``gcs_user_project``: who asks Google, and who pays.

JSON of the first (ours), and of the second (TensorStore's)::

    {"type": "default"}                              ; application-default credentials
    {"type": "anonymous"}
    {"type": "service_account", "file": ...}         ; a key file, as Google gives it
    {"type": "token", "token" | "token_variable" | "token_file": ...}

    {} | {"project_id": ...}

A token that stands in the JSON itself is left out of every JSON, repr and pickle made from the
resource; what names a variable of the environment or a file can be opened again elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.resource_type import ResourceType, members, wrong_member

#: The members of each type beside ``type``.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "anonymous": (),
    "service_account": ("file",),
    "token": ("token", "token_variable", "token_file"),
}


@dataclass(frozen=True, slots=True)
class GoogleCredentials:
    """Who asks, and where the secret is.

    Attributes:
        type: One of the types above.
        file: The key file of a service account, or the file that holds the token; it is read again
            when the server refuses.
        variable: The variable of the environment that holds the token.
        token: The token itself; None if it is elsewhere, or was left behind by pickling.
    """

    type: Literal["default", "anonymous", "service_account", "token"] = "default"
    file: str | None = None
    variable: str | None = None
    token: str | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        # Without the token.
        return GoogleCredentials, (self.type, self.file, self.variable)


#: Nobody in particular.
ANONYMOUS = GoogleCredentials("anonymous")


@dataclass(frozen=True, slots=True)
class GcsUserProject:
    """``gcs_user_project``: who pays for requests to buckets whose owner does not.

    Attributes:
        project_id: The project; None: the bucket's owner pays.
    """

    project_id: str | None = None


def google_resources() -> Iterator[ResourceType]:
    """The resources."""
    yield ResourceType(
        "gcs_credentials",
        {"type": "default"},
        _parse_credentials,
        _same,
        _credentials_json,
        is_ours=True,
    )
    yield ResourceType("gcs_user_project", {}, _parse_project, _same, _project_json)


def _same(config: Any) -> Any:
    return config


def _parse_credentials(value: Any) -> GoogleCredentials:
    if not isinstance(value, dict):
        # Whatever it is, it may be a secret.
        raise InvalidArgument(f"Expected object, but received: {type(value).__name__}")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise wrong_member("type", f"one of {', '.join(_MEMBERS)}", kind)
    given = members(value, "type", *_MEMBERS[kind])
    for name, text in given.items():
        if not isinstance(text, str) or not text or not all(c >= " " for c in text):
            raise InvalidArgument(f'Error parsing object member "{name}": Expected string')
    if kind == "service_account" and "file" not in given:
        raise InvalidArgument('Error parsing object member "file": Expected string')
    if kind == "token":
        if len(given) != 2:
            raise InvalidArgument(
                f"Expected one of the members {', '.join(_MEMBERS[kind])}; a token is not kept in "
                "specs and pickles, so name a variable or a file where those are opened"
            )
        if not all("!" <= c <= "~" for c in given.get("token", "")):
            raise InvalidArgument('Error parsing object member "token": Expected visible ASCII')
    file = given.get("file", given.get("token_file"))
    return GoogleCredentials(kind, file, given.get("token_variable"), given.get("token"))  # type: ignore[arg-type]


def _credentials_json(config: GoogleCredentials, include_defaults: bool) -> Any:
    found: dict[str, Any] = {"type": config.type}
    if config.file is not None:
        found["file" if config.type == "service_account" else "token_file"] = config.file
    if config.variable is not None:
        found["token_variable"] = config.variable
    return found


def _parse_project(value: Any) -> GcsUserProject:
    given = members(value, "project_id")
    project = given.get("project_id")
    if "project_id" in given and not isinstance(project, str):
        raise wrong_member("project_id", "string", project)
    return GcsUserProject(project)


def _project_json(config: GcsUserProject, include_defaults: bool) -> Any:
    return {} if config.project_id is None else {"project_id": config.project_id}
