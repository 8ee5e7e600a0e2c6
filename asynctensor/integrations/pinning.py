"""Arrays of repositories at fixed snapshots, whatever is committed to their branches later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asynctensor.errors import FailedPrecondition, NotFound
from asynctensor.opening import open as open_array
from asynctensor.repository.repository import Repository
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

#: Members of specs below which kvstores are.
_BELOW = ("kvstore", "base", "layers")
#: Members of a repository's kvstore that name a state which never changes.
_FIXED = {"tag", "snapshot", "as_of"}


@dataclass(frozen=True, slots=True)
class Pinned:
    """Arrays at fixed snapshots.

    Attributes:
        arrays: By name.
        snapshots: The ids of the snapshots that stand for branches: one for each branch, in the
            order in which the arrays name them. None where nothing could change.
    """

    arrays: dict[str, TensorStore]
    snapshots: tuple[str, ...]


def pinned(array: TensorStore) -> Future[TensorStore]:
    """The same view at the snapshots that its branches are at.

    Args:
        array: Any array; of adapters (`astype`, stacks), whatever lies below. One that is in no
            repository, in a transaction, or at a tag, a time or a snapshot, is given back as it is.

    Returns:
        Future of it. It fails with `NotFound` if a branch has no commit, or is gone.
    """
    if not _is_moving(array):
        return Future.resolved(array)
    return start(_one, array)


async def _one(array: TensorStore) -> TensorStore:
    return (await _all({"": array}, None)).arrays[""]


def all_pinned(
    arrays: Mapping[str, TensorStore], snapshots: Sequence[str] | None = None
) -> Future[Pinned]:
    """The same views, all those of one branch at one snapshot.

    Args:
        arrays: As for `pinned`.
        snapshots: `Pinned.snapshots` of the same arrays; None: those that the branches are at.

    Returns:
        Future of them. It fails with `NotFound` if a branch has no commit or is gone, or there is
        no such snapshot; and with `FailedPrecondition` if these are snapshots of other arrays.
    """
    if not snapshots and not any(map(_is_moving, arrays.values())):
        return Future.resolved(Pinned(dict(arrays), ()))
    return start(_all, arrays, snapshots)


async def _all(arrays: Mapping[str, TensorStore], snapshots: Sequence[str] | None) -> Pinned:
    specs: dict[str, Any] = {
        name: array.spec().to_json() for name, array in arrays.items() if _is_moving(array)
    }
    branches: dict[str, Context] = {}
    for name, spec in specs.items():
        for each in _branches(spec):
            branches.setdefault(_key(each), arrays[name].context)
    if snapshots is None:
        found = await asyncio.gather(*(_head(*each) for each in branches.items()))
    elif len(snapshots) == len(branches):
        found = list(snapshots)
    else:
        raise FailedPrecondition(
            f"{len(snapshots)} snapshots cannot stand for {len(branches)} branches: they are of "
            "other arrays, or of these opened in another way"
        )
    at = dict(zip(branches, found, strict=True))
    for spec in specs.values():
        for each in list(_branches(spec)):
            key = _key(each)
            each.pop("branch", None)
            each["snapshot"] = at[key]
    opened = await asyncio.gather(
        *(open_array(spec, context=arrays[name].context) for name, spec in specs.items())
    )
    return Pinned({**arrays, **dict(zip(specs, opened, strict=True))}, tuple(found))


async def _head(key: str, context: Context) -> str:
    base, branch = json.loads(key)
    repository = await Repository.open(base, context=context)
    async for commit in repository.log(branch, limit=1):
        return commit.id
    raise NotFound(f"branch {branch!r} has no commit")


def _key(kvstore: dict[str, Any]) -> str:
    """Tells a branch from others."""
    return json.dumps([kvstore["base"], kvstore.get("branch", "main")], sort_keys=True)


def _is_moving(array: TensorStore) -> bool:
    """Whether later commits would change what it shows."""
    if array.transaction is not None:
        return False
    return next(_branches(array._driver.spec_json()), None) is not None


def _branches(spec: Any) -> Iterator[dict[str, Any]]:
    """The kvstores in a spec that follow a branch."""
    if isinstance(spec, list):
        for each in spec:
            yield from _branches(each)
    elif isinstance(spec, dict) and spec.get("driver") == "repo":
        if not spec.keys() & _FIXED:
            yield spec
    elif isinstance(spec, dict):
        for name in _BELOW:
            yield from _branches(spec.get(name))
