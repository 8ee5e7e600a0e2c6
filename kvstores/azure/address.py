"""Which URL a container and a key have, and the members of a spec. Pure.

Without ``endpoint``, an account is a host of Azure (``account.blob.core.windows.net``); with it,
the container begins the path below the endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.kvstores._http.query import Pairs, encoded_key, encoded_query
from asynctensor.pipeline_url import UrlComponent, encoded_path
from asynctensor.schema.json_value import dump, in_member, string

#: "Naming and referencing containers, blobs, and metadata"; those with ``$`` are Azure's own.
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*|\$(root|web|logs)")
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}(-secondary)?")
#: Of an endpoint that is an account's own.
_HOST: Final = re.compile(r"([a-z0-9]{3,24}(?:-secondary)?)\.blob\.[a-z0-9.-]+")
#: Characters of a key (UTF-16 code units) and parts of it between slashes: Azure's limits.
MOST_KEY: Final = 1024
_MOST_PARTS: Final = 254
#: What the service refuses, changes on its way in, or cannot list as it is.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_DOT: Final = re.compile(r"\.(/|$)")
_STRINGS: Final = ("account", "container", "endpoint")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a container is.

    Attributes:
        account: The storage account; empty where nobody needs to know.
        container: The container.
        endpoint: The URL of the account, without a slash at the end; None: Azure's.
    """

    account: str
    container: str
    endpoint: str | None = None

    @property
    def root(self) -> str:
        """The URL of the account, without a slash at the end."""
        return self.endpoint or f"https://{self.account}.blob.core.windows.net"

    def url(self, key: str | None, query: Pairs = ()) -> str:
        """The URL of a key, or of the container itself.

        Raises:
            InvalidArgument: No blob can have this key.
        """
        url = f"{self.root}/{self.container}"
        if key is None:
            query = (("restype", "container"), *query)
        else:
            url = f"{url}/{_checked(key)}"
        return f"{url}?{encoded_query(query)}" if query else url

    def __str__(self) -> str:
        if self.endpoint is None:
            return f"az://{self.account}/{self.container}"
        return f"{self.endpoint}/{self.container}"


def _checked(key: str) -> str:
    """A key as it stands in a URL."""
    wrong = None
    if not key:
        wrong = "no blob can have the empty key"
    elif len(key) > MOST_KEY // 2 and len(key.encode("utf-16-le", "surrogatepass")) > 2 * MOST_KEY:
        wrong = f"a key of {len(key)} characters is longer than the {MOST_KEY} that Azure allows"
    elif key.count("/") >= _MOST_PARTS:
        wrong = f"a key has more than the {_MOST_PARTS} parts that Azure allows"
    elif _CONTROL.search(key):
        wrong = f"key {key!r} holds a control character, which Azure refuses"
    elif "\\" in key:
        wrong = f"key {key!r} holds a backslash, which Azure takes for a slash"
    elif _DOT.search(key):
        wrong = f"a part of key {key!r} ends with a dot, which Azure does not keep"
    if wrong is None:
        try:
            return encoded_key(key)
        except UnicodeEncodeError:
            wrong = f"key {key!r} is no Unicode text"
    raise InvalidArgument(wrong, key=key)


def check_members(options: dict[str, Any], form: object) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: One is wrong; the message gives its path.
    """
    for name in _STRINGS:
        if name in options:
            with in_member(name):
                string(options[name])
    found = {name: value for name, value in options.items() if value != ""}
    if "account" not in found and "endpoint" in found:
        named = _HOST.fullmatch(_host(found["endpoint"]))
        if named is not None:
            found["account"] = named[1]
    for name in ("account", "container"):
        if name not in found:
            with in_member(name):
                raise InvalidArgument(f'"{name}" must be specified')
    with in_member("account"):
        check_account(found["account"])
    with in_member("container"):
        check_container(found["container"])
    return found


def _host(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:
        # Said better by whoever needs it.
        return ""


def check_account(name: str) -> None:
    """Checks the name of an account.

    Raises:
        InvalidArgument: None has such a name.
    """
    if _ACCOUNT.fullmatch(name) is None:
        raise InvalidArgument(
            f"Invalid Azure storage account name: {dump(name)}; expected 3 to 24 lower-case "
            "letters and digits"
        )


def check_container(name: str) -> None:
    """Checks the name of a container.

    Raises:
        InvalidArgument: None has such a name.
    """
    if _CONTAINER.fullmatch(name) is None:
        raise InvalidArgument(
            f"Invalid Azure container name: {dump(name)}; expected 3 to 63 lower-case letters, "
            "digits and hyphens"
        )


def read_url(component: UrlComponent) -> tuple[dict[str, Any], str]:
    """Members and path that a URL stands for."""
    if component.query is not None:
        raise InvalidArgument("Query string not supported; say who asks with azure_credentials")
    account, _, rest = component.path.partition("/")
    container, _, path = rest.partition("/")
    container = UrlComponent(component.scheme, container, is_root=True).decoded_path()
    if not container:
        raise InvalidArgument("Expected a URL of the form az://account/container/path")
    check_account(account)
    check_container(container)
    decoded = UrlComponent(component.scheme, path, is_root=True).decoded_path()
    return {"account": account, "container": container}, decoded


def write_url(options: Mapping[str, Any], path: str) -> str:
    """The URL of members and path.

    Raises:
        Unimplemented: There is none for an account with an endpoint of its own.
    """
    if options.get("endpoint"):
        raise Unimplemented("Azure URL syntax not supported with explicit endpoint")
    return f"az://{options['account']}/{options['container']}/{encoded_path(path)}"
