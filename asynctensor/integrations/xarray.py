"""``engine="asynctensor"`` of xarray: datasets whose variables are read asynchronously.

``await dataset.load_async()`` reads all variables at once, in batches of the scheduler's.
`open_dataset_async` and `open_datatree_async` open without waiting for one request after the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.backends.store import StoreBackendEntrypoint

from asynctensor.groups.group import Group
from asynctensor.integrations.given_kvstore import State
from asynctensor.integrations.xarray_group import GroupVariables
from asynctensor.integrations.xarray_opening import GroupTree, Where
from asynctensor.kvstore import KvStore
from asynctensor.repository.repository import Repository
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.transaction.transaction import Transaction

#: Arguments of ours beside xarray's.
_OURS = frozenset(
    ("as_of", "branch", "consolidated", "context", "group", "snapshot", "tag", "transaction")
)


class AsynctensorBackend(BackendEntrypoint):
    """The engine. xarray makes it, for ``xr.open_dataset(where, engine="asynctensor", ...)``.

    `where` is a URL, a path, a `KvStore`, its spec or JSON, a `Repository` or a `Group`. Beside
    xarray's own arguments there are:

    - ``group``: the path of the group in it;
    - ``branch``, ``tag``, ``snapshot``, ``as_of``: a state of a repository (`Repository.kvstore`);
    - ``transaction``: what reads belong to; ``context``: the resources to use;
    - ``consolidated``: whether to use the consolidated metadata; by default, if there is some.
    """

    description: ClassVar[str] = "Zarr and N5, read asynchronously, with history"
    open_dataset_parameters: ClassVar[tuple[Any, ...] | None] = (
        "filename_or_obj", "drop_variables", "mask_and_scale", "decode_times", "concat_characters",
        "decode_coords", "use_cftime", "decode_timedelta", *sorted(_OURS),
    )  # fmt: skip
    supports_groups: ClassVar[bool] = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Only what no other engine can mean: an object of ours, or a URL with adapters."""
        if isinstance(filename_or_obj, str):
            root, adapter, _ = filename_or_obj.partition("|")
            return "://" in root and bool(adapter)
        return isinstance(
            filename_or_obj, Group | GroupTree | GroupVariables | KvStore | Repository
        )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        consolidated: bool | None = None,
        context: Context | None = None,
        transaction: Transaction | None = None,
        branch: str | None = None,
        tag: str | None = None,
        snapshot: str | None = None,
        as_of: str | dt.datetime | None = None,
    ) -> xr.Dataset:
        """See the class.

        Raises:
            NotFound: There is no group.
            FailedPrecondition: Dimensions have no names, or the group is an array.
            InvalidArgument: An argument is wrong.
        """
        state = State(branch=branch, tag=tag, snapshot=snapshot, as_of=as_of)
        if isinstance(filename_or_obj, GroupVariables):
            variables = filename_or_obj
        else:
            where = Where(filename_or_obj, group, consolidated, context, transaction, state)
            variables = start(where.variables, _names(drop_variables)).result()
        return StoreBackendEntrypoint().open_dataset(
            variables,
            drop_variables=drop_variables,
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
        )

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **options: Any,
    ) -> dict[str, xr.Dataset]:
        """The datasets of a group and of all below, by path; see the class."""
        where, decoding = _split(filename_or_obj, options)
        if isinstance(filename_or_obj, GroupTree):
            tree = filename_or_obj
        else:
            tree = start(where.tree, _names(drop_variables)).result()
        return {
            path: self.open_dataset(each, drop_variables=drop_variables, **decoding)
            for path, each in tree.groups.items()
        }

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **options: Any,
    ) -> xr.DataTree:
        """A group and all below as a tree; see the class."""
        found = self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, **options)
        return xr.DataTree.from_dict(found)


async def open_dataset_async(where: Any, **options: Any) -> xr.Dataset:
    """Opens a dataset; what ``xr.open_dataset(where, engine="asynctensor")`` gives.

    All metadata are read side by side, then all coordinates; the event loop is free meanwhile.

    Args:
        where: As for `AsynctensorBackend`.
        **options: The arguments of ``xr.open_dataset`` but ``engine``, and those of
            `AsynctensorBackend`.

    Raises:
        NotFound: There is no group.
        FailedPrecondition: Dimensions have no names, or the group is an array.
        InvalidArgument: An argument is wrong.

    A cancelled call leaves nothing behind.
    """
    place, further = _split(where, options)
    variables = await start(place.variables, _names(options.get("drop_variables")))
    return xr.open_dataset(variables, engine=AsynctensorBackend, **further)


async def open_datatree_async(where: Any, **options: Any) -> xr.DataTree:
    """Opens a group and all below; what ``xr.open_datatree`` gives. See `open_dataset_async`."""
    place, further = _split(where, options)
    tree = await start(place.tree, _names(options.get("drop_variables")))
    opened: Any = tree  # xarray's annotation knows no objects of other libraries
    return xr.open_datatree(opened, engine=AsynctensorBackend, **further)


def _names(dropped: str | Iterable[str] | None) -> tuple[str, ...]:
    if dropped is None:
        return ()
    return (dropped,) if isinstance(dropped, str) else tuple(dropped)


def _split(where: Any, options: Mapping[str, Any]) -> tuple[Where, dict[str, Any]]:
    """Where, and the arguments that are xarray's."""
    ours = {name: value for name, value in options.items() if name in _OURS}
    state = State(
        branch=ours.pop("branch", None),
        tag=ours.pop("tag", None),
        snapshot=ours.pop("snapshot", None),
        as_of=ours.pop("as_of", None),
    )
    further = {name: value for name, value in options.items() if name not in _OURS}
    return Where(where, state=state, **ours), further
