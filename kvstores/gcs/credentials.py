"""The token that requests carry, now.

Google's own package looks for credentials and renews them: an extra, loaded on first use, and run
on worker threads, since it waits for networks and files.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from pathlib import Path
from typing import Any, Final, Literal

from asynctensor.errors import FailedPrecondition, PermissionDenied, Unavailable
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.refusable import Refusable
from asynctensor.kvstores._http.who_asks import PENDING, Pending
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.runtime.loop_lock import LoopLock

#: What a token allows: objects are read, written and listed.
_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
#: Longest token that is taken from a file.
_MOST: Final = 1 << 16


class TokenSource(Refusable):
    """Gives the token of one `GoogleCredentials`; used on the I/O loop.

    Args:
        given: Where it is.
    """

    def __init__(self, given: GoogleCredentials) -> None:
        super().__init__()
        self._given = given
        #: google-auth's object, or a token; None: there is none.
        self._found: Any = None
        self._asked = False
        self._lock = LoopLock()

    @property
    def may_change(self) -> bool:
        """See `Refusable.may_change`."""
        # Where nothing was found, nothing was refused; one that was given stays the same.
        return self._found is not None and self._given.token is None

    def _drop(self) -> None:
        self._asked, self._found = False, None

    async def fields(self) -> Pairs:
        """What requests say of who asks; nothing where nobody does.

        Raises:
            PermissionDenied: There is no token where it was said to be.
            Unavailable: Whoever gives tokens cannot be reached.
            FailedPrecondition: Looking for it takes a package that is not installed.
        """
        known = self.at_hand()
        if known is not PENDING:
            return known
        async with self._lock:
            if not self._asked:
                self._found = await asyncio.to_thread(_look_up, self._given)
                self._asked = True
            found = self._found
            if found is not None and not isinstance(found, str) and not found.valid:
                await asyncio.to_thread(_refresh, found)
            return _fields(found)

    def at_hand(self) -> Pairs | Literal[Pending.PENDING]:
        """The same where nothing has to be looked up."""
        if self._given.type == "anonymous":
            return ()
        found = self._found
        is_there = found is None or isinstance(found, str) or found.valid
        return _fields(found) if self._asked and is_there else PENDING


def _fields(found: Any) -> Pairs:
    """What a token, or what gives tokens, has requests say."""
    if found is None:
        return ()
    if isinstance(found, str):
        return (("Authorization", f"Bearer {found}"),)
    fields = [("Authorization", f"Bearer {found.token}")]
    project = getattr(found, "quota_project_id", None)
    if project:
        fields.append(("x-goog-user-project", project))
    return fields


def _look_up(given: GoogleCredentials) -> Any:
    """A token, or what gives tokens; None if there is none and none was asked for by name."""
    if given.type == "token":
        return _token(given)
    try:
        auth = importlib.import_module("google.auth")
        accounts = importlib.import_module("google.oauth2.service_account")
        importlib.import_module("google.auth.transport.requests")
    except ImportError as error:
        if given.type == "default" and not _hints():
            return None
        raise FailedPrecondition(
            f'gcs_credentials of type "{given.type}" are looked up by google-auth, which is not '
            'installed: pip install "asynctensor[gcs]"'
        ) from error
    try:
        if given.type == "service_account":
            return accounts.Credentials.from_service_account_file(given.file, scopes=_SCOPES)
        found, _ = auth.default(scopes=_SCOPES)
    except auth.exceptions.DefaultCredentialsError as error:
        if os.environ.get(_FILE):
            raise _none(given, f"{_FILE} names no file of credentials") from error
        return None
    except auth.exceptions.TransportError:
        # Identities of other services ask for a token at once. Its text may show the request.
        raise Unavailable("whoever gives tokens to gcs_credentials cannot be reached") from None
    except OSError as error:
        raise _none(given, f"{error.filename} cannot be read ({error.strerror})") from error
    except Exception as error:  # noqa: BLE001 -- whatever google-auth raises
        # Its text may show what the file holds.
        raise _none(given, type(error).__name__) from None
    return found


def _token(given: GoogleCredentials) -> str:
    if given.token is not None:
        return given.token
    if given.variable is not None:
        text, place = os.environ.get(given.variable, ""), f"the variable {given.variable}"
    elif given.file is not None:
        text, place = _first_line(given.file), f"the file {given.file}"
    else:
        raise PermissionDenied(
            "the token of this store was left behind where it was pickled; open it anew, or name "
            "a variable or a file in gcs_credentials"
        )
    if not text or not all("!" <= c <= "~" for c in text):
        raise PermissionDenied(f"{place}, from which gcs_credentials are taken, holds no token")
    return text


def _first_line(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_MOST).strip()
    except OSError as error:
        raise PermissionDenied(
            f"the file {file}, from which gcs_credentials are taken, cannot be read "
            f"({error.strerror})"
        ) from error


def _refresh(found: Any) -> None:
    requests = importlib.import_module("google.auth.transport.requests")
    errors = importlib.import_module("google.auth.exceptions")
    try:
        found.refresh(requests.Request())
    except errors.TransportError:
        # Its text may show the whole request.
        raise Unavailable("whoever gives tokens to gcs_credentials cannot be reached") from None
    except Exception as error:  # noqa: BLE001 -- whatever google-auth raises
        if getattr(error, "retryable", False):
            raise Unavailable("whoever gives tokens to gcs_credentials is in trouble") from None
        raise PermissionDenied(
            f"no token was given for gcs_credentials ({type(error).__name__})"
        ) from None


def _none(given: GoogleCredentials, why: str) -> PermissionDenied:
    return PermissionDenied(f'none were found by gcs_credentials of type "{given.type}": {why}')


def _hints() -> bool:
    folder = os.environ.get("CLOUDSDK_CONFIG") or Path("~/.config/gcloud").expanduser()
    return (
        bool(os.environ.get(_FILE)) or Path(folder, "application_default_credentials.json").exists()
    )
