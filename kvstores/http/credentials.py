"""The header that says who asks."""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from asynctensor.errors import PermissionDenied
from asynctensor.runtime.http_credentials import NOBODY, HttpCredentials

#: Characters of a file that holds a secret; a longer one is something else.
_MOST = 1 << 16


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the header ``Authorization`` is made from; without the secret when pickled.

    Attributes:
        credentials: As a context resource.
        header: The header itself, where the user gave that; it comes first.
    """

    credentials: HttpCredentials = NOBODY
    header: str | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return Authorization, (self.credentials,)

    @property
    def may_change(self) -> bool:
        """Whether another secret may be found when one is refused."""
        return self.header is None and self.credentials.file is not None

    def at_hand(self) -> tuple[tuple[str, str], ...] | None:
        """The header now, where nothing has to be looked up; None: ask `headers`."""
        if self.header is not None:
            return (("Authorization", self.header),)
        given = self.credentials
        if given.type == "none":
            return ()
        if given.secret is None or _wrong(given, given.secret) is not None:
            return None
        return _fields(given, given.secret)

    async def headers(self) -> tuple[tuple[str, str], ...]:
        """The header now.

        Raises:
            PermissionDenied: The secret is not where it was said to be.
        """
        known = self.at_hand()
        if known is not None:
            return known
        return _fields(self.credentials, await _secret(self.credentials))


def of_user(user: str) -> HttpCredentials:
    """The credentials that stand in a URL as ``name:password``, percent-encoded."""
    name, _, password = user.partition(":")
    return HttpCredentials("basic", unquote(name), unquote(password))


async def _secret(given: HttpCredentials) -> str:
    if given.variable is not None:
        found = os.environ.get(given.variable)
        if not found:
            raise PermissionDenied(f"the environment variable {given.variable} is not set")
    elif given.file is not None:
        try:
            found = await asyncio.to_thread(_read, given.file)
        except (OSError, UnicodeDecodeError) as error:
            raise PermissionDenied(f"no secret can be read from {given.file}") from error
    elif given.secret is not None:
        found = given.secret
    else:
        raise PermissionDenied(
            "the credentials of this store were left behind where it was pickled; open it anew, or "
            "name a variable or a file that holds them"
        )
    wrong = _wrong(given, found)
    if wrong is not None:
        raise PermissionDenied(wrong)
    return found


def _wrong(given: HttpCredentials, secret: str) -> str | None:
    """Why a secret cannot be sent; None if it can."""
    if given.type != "bearer":
        return None
    if not secret:
        where = "the token" if given.file is None else f"the token in {given.file}"
        return f"{where} is empty"
    if not all(" " <= c <= "~" for c in secret):
        return "the token holds characters that no header can carry"
    return None


def _fields(given: HttpCredentials, secret: str) -> tuple[tuple[str, str], ...]:
    if given.type == "bearer":
        return (("Authorization", f"Bearer {secret}"),)
    pair = base64.b64encode(f"{given.username}:{secret}".encode()).decode()
    return (("Authorization", f"Basic {pair}"),)


def _read(path: str) -> str:
    with Path(path).open(encoding="utf-8") as file:
        return file.read(_MOST).strip()
