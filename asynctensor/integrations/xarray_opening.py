"""Finding the groups that xarray is to open, and what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asynctensor.errors import FailedPrecondition, InvalidArgument, NotFound
from asynctensor.groups.group import Group
from asynctensor.groups.member import Member
from asynctensor.groups.opening import open_group
from asynctensor.integrations.given_kvstore import State, given_kvstore
from asynctensor.integrations.xarray_group import GroupVariables, read_group
from asynctensor.kvstore import KvStore
from asynctensor.runtime.context import Context
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class GroupTree:
    """A group and all below, opened: variables by path, which begins with ``/``."""

    groups: dict[str, GroupVariables]


@dataclass(frozen=True, slots=True)
class Where:
    """Which group is meant; see `asynctensor.integrations.xarray.AsynctensorBackend`.

    Attributes:
        given: A URL, a path, a kvstore, a repository or a group.
        group: The path of the group in it.
        consolidated: Whether to use consolidated metadata; None: if there is some.
        context: Resources to use.
        transaction: What reads belong to.
        state: A state of a repository.

    Raises:
        InvalidArgument: One of them is of another type.
    """

    given: Any
    group: str | None = None
    consolidated: bool | None = None
    context: Context | None = None
    transaction: Transaction | None = None
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        kinds = {"group": str, "consolidated": bool, "context": Context, "transaction": Transaction}
        for name, kind in kinds.items():
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise InvalidArgument(f"{name}= takes a {kind.__name__}, got {given!r:.100}")

    async def variables(self, drop: Iterable[str]) -> GroupVariables:
        """The arrays of the group.

        Args:
            drop: Names of arrays that are not wanted.

        Raises:
            NotFound: There is no group.
        """
        group = await self._opened()
        return await read_group(group, dict(await group.members()), drop)

    async def tree(self, drop: Iterable[str]) -> GroupTree:
        """The arrays of the group and of all groups below; as `variables`.

        Raises:
            FailedPrecondition: The metadata name an array, but not the group that it is in.
        """
        group = await self._opened()
        found: dict[str, dict[str, Member]] = {"": {}}
        groups: list[str] = []
        for path, member in await group.members(max_depth=None):
            if member.kind == "group":
                groups.append(path)
                found[path] = {}
            else:
                above, _, name = path.rpartition("/")
                if above not in found:
                    raise FailedPrecondition(
                        f"there is an array {path!r}, and no group {above!r}: the consolidated "
                        "metadata have a gap; write them anew, or pass consolidated=False",
                        array=path,
                    )
                found[above][name] = member
        opened = await asyncio.gather(*map(group.open_group, groups))
        by_path = {"": group, **dict(zip(groups, opened, strict=True))}
        wanted = set(drop)
        read = [read_group(by_path[path], arrays, wanted) for path, arrays in found.items()]
        return GroupTree(
            {
                f"/{path}": each
                for path, each in zip(found, await asyncio.gather(*read), strict=True)
            }
        )

    async def _opened(self) -> Group:
        path = (self.group or "").strip("/")
        if isinstance(self.given, Group):
            return await _group_in(self.given, path)
        given = self.given
        if isinstance(given, str) and "://" not in given:
            given = Path(given)
        kvstore = given_kvstore(
            given, context=self.context, transaction=self.transaction, state=self.state
        )
        try:
            root = await self._at(kvstore)
        except NotFound:
            if not path:
                raise
            return await self._at(kvstore / (path + "/"))
        return await _group_in(root, path)

    async def _at(self, kvstore: KvStore) -> Group:
        async def opened(use_consolidated: bool) -> Group:
            return await open_group(
                kvstore,
                read=True,
                use_consolidated=use_consolidated,
                context=kvstore.context,
                transaction=kvstore.transaction,
            )

        if self.consolidated is not None:
            return await opened(self.consolidated)
        # Side by side: whichever it will be, it takes no longer.
        copied, plain = await asyncio.gather(opened(True), opened(False), return_exceptions=True)
        if isinstance(copied, Group):
            return copied
        if not isinstance(copied, FailedPrecondition | NotFound):
            raise copied
        if isinstance(plain, BaseException):
            raise plain
        return plain


async def _group_in(root: Group, path: str) -> Group:
    """The group at a path of another one, which is that one if the path is empty.

    Raises:
        NotFound: There is none.
        FailedPrecondition: An array is there.
    """
    found = await root.open(path) if path else root
    if isinstance(found, Group):
        return found
    above = path.rpartition("/")[0]
    raise FailedPrecondition(
        f"{path!r} is an array, and a dataset is a group: open the one that holds it"
        + (f", group={above!r}" if above else ", without group=")
    )
