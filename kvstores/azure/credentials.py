"""What requests say of who asks, now."""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final, Literal

from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.kvstores._http.refusable import Refusable
from asynctensor.kvstores._http.who_asks import PENDING, Pending
from asynctensor.kvstores.azure.signing import Authority, BearerToken, SasToken, SharedKey
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.loop_lock import LoopLock

#: What tokens of Entra are for; the same in all of its clouds.
_SCOPE: Final = "https://storage.azure.com/.default"
#: Seconds before a token expires when another one is asked for: the machines that give them to
#: others keep one until about then.
_EARLY: Final = 300.0
#: Seconds for which nobody is asked for again when nobody was found.
_NOBODY: Final = 60.0
#: The classes of azure-identity, and the members that they take.
_IDENTITIES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "default": ("DefaultAzureCredential", {}),
    "environment": ("EnvironmentCredential", {}),
    "managed_identity": ("ManagedIdentityCredential", {"client_id": "client_id"}),
    "workload_identity": (
        "WorkloadIdentityCredential",
        {"client_id": "client_id", "tenant_id": "tenant_id"},
    ),
    "cli": ("AzureCliCredential", {"tenant_id": "tenant_id"}),
}
#: Variables that say that there are credentials which it takes azure-identity to use.
_ELSEWHERE: Final = (
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)
_KEY, _SAS, _STRING = (
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
)


class CredentialSource(Refusable):
    """Gives what one `AzureCredentials` says; used on the I/O loop.

    Args:
        given: Where the secrets are.
    """

    def __init__(self, given: AzureCredentials) -> None:
        super().__init__()
        self._given = given
        #: azure-identity's object, once it is needed; None: it is not installed.
        self._identity: Any = None
        self._asked = False
        self._token: BearerToken | None = None
        self._until = 0.0
        self._lock = LoopLock()

    @property
    def may_change(self) -> bool:
        """See `Refusable.may_change`."""
        return self._token is not None

    def _drop(self) -> None:
        self._token, self._until, self._asked = None, 0.0, False

    async def authority(self, account: str) -> Authority | None:
        """Who asks now; None: nobody in particular.

        Args:
            account: The account whose blobs are asked for.

        Raises:
            PermissionDenied: There is nothing where it was said to be.
            FailedPrecondition: Looking for it takes a package that is not installed.
        """
        known = self.at_hand(account)
        return await self._of_identity() if known is PENDING else known

    def at_hand(self, account: str) -> Authority | Literal[Pending.PENDING] | None:
        """The same where nothing has to be asked for.

        Args:
            account: As for `authority`.

        Raises:
            PermissionDenied: There is nothing where it was said to be.
        """
        given = self._given
        if given.type == "anonymous":
            return None
        if given.type == "sas" and given.has_token:
            return _given_token(given)
        if given.type == "shared_key":
            return _shared_key(account, given.option("key_variable") or _KEY)
        if given.type == "sas":
            return _sas(given.option("token_variable") or _SAS)
        if given.type == "connection_string":
            return _of_connection_string(account, given.option("variable") or _STRING)
        if given.type == "default":
            found = _of_environment(account)
            if found is not None:
                return found
        return self._token if SYSTEM_CLOCK.time() < self._until - _EARLY else PENDING

    async def _of_identity(self) -> BearerToken | None:
        async with self._lock:
            if SYSTEM_CLOCK.time() < self._until - _EARLY:
                return self._token
            if not self._asked:
                self._identity = await asyncio.to_thread(_identity, self._given)
                self._asked = True
            if self._identity is None:
                return None
            found = await asyncio.to_thread(_asked, self._identity, self._given)
            if found is None:
                self._token, self._until = None, SYSTEM_CLOCK.time() + _EARLY + _NOBODY
            else:
                self._token, self._until = BearerToken(found.token), float(found.expires_on)
            return self._token


# -- What stands in the environment ---------------------------------------------------------------


def _of_environment(account: str) -> Authority | None:
    if os.environ.get(_KEY) and _account_of_key() in (None, account):
        return _shared_key(account, _KEY)
    if os.environ.get(_SAS):
        return _sas(_SAS)
    if os.environ.get(_STRING) and _parts_of(_STRING).get("AccountName", account) == account:
        return _of_connection_string(account, _STRING)
    return None


def _account_of_key() -> str | None:
    return os.environ.get("AZURE_STORAGE_ACCOUNT") or None


def _shared_key(account: str, variable: str) -> SharedKey:
    text = os.environ.get(variable)
    if not text:
        raise _unset(variable, "shared_key", "the key of the account")
    if variable == _KEY and _account_of_key() not in (None, account):
        raise PermissionDenied(
            f"the key in {_KEY} is that of account {_account_of_key()!r} (AZURE_STORAGE_ACCOUNT), "
            f"not of {account!r}; name another variable with key_variable"
        )
    return SharedKey(account, _decoded_key(text, variable))


def _decoded_key(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise PermissionDenied(f"what {where} holds is no key of an account (base64)") from None


def _sas(variable: str) -> SasToken:
    text = os.environ.get(variable)
    if not text:
        raise _unset(variable, "sas", "a shared access signature")
    return _checked_sas(text, variable)


def _given_token(given: AzureCredentials) -> SasToken:
    if given.token is None:
        raise PermissionDenied(
            "the token of this store was left behind where it was pickled; open it anew, or use "
            'azure_credentials of type "sas" with token_variable'
        )
    return _checked_sas(given.token, "azure_credentials")


def _checked_sas(text: str, where: str) -> SasToken:
    token = text.strip().lstrip("?&")
    if not all("!" <= c <= "~" and c != "#" for c in token) or "sig=" not in token:
        raise PermissionDenied(f"what {where} holds is no shared access signature (...&sig=...)")
    return SasToken(token)


def _of_connection_string(account: str, variable: str) -> Authority:
    if not os.environ.get(variable):
        raise _unset(variable, "connection_string", "a connection string")
    parts = _parts_of(variable)
    owner = parts.get("AccountName", account)
    if owner != account:
        raise PermissionDenied(f"{variable} is for account {owner!r}, not for {account!r}")
    if "AccountKey" in parts:
        return SharedKey(account, _decoded_key(parts["AccountKey"], variable))
    if "SharedAccessSignature" in parts:
        return _checked_sas(parts["SharedAccessSignature"], variable)
    raise PermissionDenied(f"{variable} holds neither AccountKey nor SharedAccessSignature")


def _parts_of(variable: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in os.environ.get(variable, "").split(";")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _unset(variable: str, kind: str, what: str) -> PermissionDenied:
    return PermissionDenied(
        f'the environment variable {variable} is not set, which azure_credentials of type "{kind}" '
        f"takes {what} from"
    )


# -- What azure-identity finds --------------------------------------------------------------------


def _identity(given: AzureCredentials) -> Any:
    """azure-identity's object; None if it is not there and nothing says that it is needed."""
    try:
        identities = importlib.import_module("azure.identity")
    except ImportError as error:
        if given.type == "default" and not any(os.environ.get(name) for name in _ELSEWHERE):
            return None
        raise FailedPrecondition(
            f'azure_credentials of type "{given.type}" are looked up by azure-identity, which is '
            'not installed: pip install "asynctensor[azure]"'
        ) from error
    name, options = _IDENTITIES[given.type]
    found = {theirs: given.option(ours) for ours, theirs in options.items()}
    try:
        return getattr(identities, name)(**{n: v for n, v in found.items() if v is not None})
    except Exception as error:  # noqa: BLE001 -- whatever azure-identity raises
        raise _none(given, error) from None


def _asked(identity: Any, given: AzureCredentials) -> Any:
    """A token; None if nobody can be found to be, and nobody was asked for by name."""
    optional = given.type == "default" and not any(os.environ.get(name) for name in _ELSEWHERE)
    try:
        with _quiet() if optional else nullcontext():
            return identity.get_token(_SCOPE)
    except Exception as error:  # noqa: BLE001 -- whatever azure-identity raises
        if optional:
            return None
        raise _none(given, error) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps azure-identity from warning of what is not missed."""
    logger = logging.getLogger("azure.identity")
    level = logger.level
    logger.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(level)


def _none(given: AzureCredentials, error: Exception) -> PermissionDenied:
    # Its text may show what the service said.
    return PermissionDenied(
        f'no token was found by azure_credentials of type "{given.type}" ({type(error).__name__})'
    )
