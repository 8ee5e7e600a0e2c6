"""The keys that requests are signed with, now."""

from __future__ import annotations

import asyncio
import importlib
import os
from pathlib import Path
from typing import Any, Literal

from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.kvstores._http.refusable import Refusable
from asynctensor.kvstores._http.who_asks import PENDING, Pending
from asynctensor.kvstores.s3.signing import Keys
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.loop_lock import LoopLock

#: Variables that say that there are keys somewhere, which it takes botocore to find.
_ELSEWHERE = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class KeySource(Refusable):
    """Gives the keys of one `AwsCredentials`; used on the I/O loop.

    Args:
        given: Where they are.
    """

    def __init__(self, given: AwsCredentials) -> None:
        super().__init__()
        self._given = given
        #: botocore's object, once it has been asked; None: there are no keys.
        self._found: Any = None
        self._asked = False
        self._lock = LoopLock()

    @property
    def may_change(self) -> bool:
        """See `Refusable.may_change`."""
        return self._given.type not in ("anonymous", "static")

    def _drop(self) -> None:
        self._asked, self._found = False, None

    async def keys(self) -> Keys | None:
        """The keys now; None: requests are not signed.

        Raises:
            PermissionDenied: There are none where they were said to be.
            FailedPrecondition: Looking for them takes a package that is not installed.
        """
        known = self.at_hand()
        return await self._of_botocore() if known is PENDING else known

    def at_hand(self) -> Keys | Literal[Pending.PENDING] | None:
        """The same where nothing has to be looked up.

        Raises:
            PermissionDenied: There are none where they were said to be.
        """
        given = self._given
        if given.type == "anonymous":
            return None
        if given.type == "static":
            return _given_keys(given)
        if given.type in ("default", "environment") and given.option("profile") is None:
            found = _of_environment()
            if found is not None:
                return found
            if given.type == "environment":
                raise PermissionDenied(
                    "the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not "
                    'set, which aws_credentials of type "environment" takes the keys from'
                )
        if not self._asked:
            return PENDING
        if self._found is None:
            return None
        return PENDING if _is_old(self._found) else _keys_of(self._found.get_frozen_credentials())

    async def _of_botocore(self) -> Keys | None:
        async with self._lock:
            if not self._asked:
                self._found = await asyncio.to_thread(_look_up, self._given)
                self._asked = True
            found = self._found
            if found is None:
                return None
            if _is_old(found):
                return _keys_of(await asyncio.to_thread(_frozen, found))
            return _keys_of(found.get_frozen_credentials())


def _is_old(found: Any) -> bool:
    """Whether botocore would ask for new keys before it gives any."""
    needed = getattr(found, "refresh_needed", None)
    return bool(needed is not None and needed())


def _keys_of(frozen: Any) -> Keys:
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def _given_keys(given: AwsCredentials) -> Keys:
    if given.secret_access_key is None:
        raise PermissionDenied(
            "the credentials of this store were left behind where it was pickled; open it "
            'anew, or use aws_credentials of type "environment" or "profile"'
        )
    access = given.option("access_key_id") or ""
    return Keys(access, given.secret_access_key, given.session_token)


def _of_environment() -> Keys | None:
    access = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        return None
    return Keys(access, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


def _look_up(given: AwsCredentials) -> Any:
    """Botocore's credentials; None if there are none and none were asked for by name."""
    try:
        session_module = importlib.import_module("botocore.session")
        providers = importlib.import_module("botocore.credentials")
    except ImportError as error:
        if given.type == "default" and given.option("profile") is None and not _hints():
            return None
        raise FailedPrecondition(
            f'aws_credentials of type "{given.type}" are looked up by botocore, which is not '
            'installed: pip install "asynctensor[s3]"'
        ) from error
    session = session_module.Session(profile=given.option("profile"))
    try:
        if given.type == "profile":
            found = _of_profile(session, given)
        elif given.type == "imds":
            found = _of_machine(session)
        elif given.type == "ecs":
            found = providers.ContainerProvider(environ=_container(given)).load()
        else:
            found = session.get_credentials()
    except Exception as error:  # noqa: BLE001 -- whatever botocore raises
        # Its text may show what a service said.
        raise _none(given, _said(error)) from None
    if found is None and (given.type != "default" or given.option("profile") is not None):
        raise _none(given, "there are none")
    return found


def _said(error: Exception) -> str:
    """What botocore says of missing names; of all else, the kind alone: its text may hold more."""
    if type(error).__name__ in ("ProfileNotFound", "PartialCredentialsError"):
        return str(error)
    return type(error).__name__


def _of_profile(session: Any, given: AwsCredentials) -> Any:
    for option, variable in (
        ("credentials_file", "credentials_file"),
        ("config_file", "config_file"),
    ):
        value = given.option(option)
        if value is not None:
            session.set_config_variable(variable, value)
    if given.option("profile") is None:
        session.set_config_variable("profile", "default")
    resolver = session.get_component("credential_provider")
    # The variables of the environment come first there, and are not meant.
    for name in ("env", "container-role", "iam-role"):
        resolver.remove(name)
    return resolver.load_credentials()


def _of_machine(session: Any) -> Any:
    session.set_config_variable("metadata_service_timeout", 2)
    session.set_config_variable("metadata_service_num_attempts", 2)
    # Where its metadata are, variables and files may say.
    return session.get_component("credential_provider").get_provider("iam-role").load()


def _container(given: AwsCredentials) -> dict[str, str]:
    variables = dict(os.environ)
    endpoint = given.option("endpoint")
    if endpoint is not None:
        variables.pop("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", None)
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = endpoint
    token = given.option("auth_token_file")
    if token is not None:
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = token
    return variables


def _frozen(found: Any) -> Any:
    try:
        return found.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001 -- whatever botocore raises
        # Its text may show what the service said.
        raise PermissionDenied(
            f"no new keys were given when the old ones expired ({type(error).__name__})"
        ) from None


def _none(given: AwsCredentials, why: str) -> PermissionDenied:
    return PermissionDenied(f'no keys were found by aws_credentials of type "{given.type}": {why}')


def _hints() -> bool:
    named = (os.environ.get("AWS_SHARED_CREDENTIALS_FILE"), os.environ.get("AWS_CONFIG_FILE"))
    usual = [Path("~/.aws/credentials").expanduser(), Path("~/.aws/config").expanduser()]
    files = [Path(each) for each in named if each] + usual
    return any(os.environ.get(n) for n in _ELSEWHERE) or any(file.exists() for file in files)
