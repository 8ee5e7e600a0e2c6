"""`find`: arrays and groups in plain folders and stores, by what their documents say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from asynctensor.errors import InvalidArgument
from asynctensor.groups.criteria import criteria
from asynctensor.groups.location import Location, locate
from asynctensor.groups.member import Member, Opened
from asynctensor.groups.opening import Where, open_group
from asynctensor.groups.place import GroupPlace
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.hierarchy.walk import Place, everything
from asynctensor.kvstore import KvStore
from asynctensor.registry import node_format, node_formats
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing
from asynctensor.spec import Spec
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Found(Member):
    """An array or a group that `find` found; see `Member`, whose `path` counts from the start.

    Attributes:
        driver: Name of its format's driver.
        url: Where it is, with its format, without a query (a signature), which `open` knows; a
            description where there is no URL.
    """

    driver: str = ""
    url: str = ""
    _location: Location | None = field(default=None, repr=False, compare=False)

    def open(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Opened]:
        """Opens it.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of a `TensorStore` or a `Group`, for reading and writing.
        """
        location = self._location
        assert location is not None
        if self.kind == "group":
            kvstore = KvStore(
                location.store,
                location.prefix,
                transaction=location.transaction,
                context=location.context,
            )

            async def opened() -> Opened:
                return await open_group(kvstore, driver=self.driver)

            return start(opened, timeout=timeout, deadline=deadline)
        place = GroupPlace(
            location.store,
            location.prefix,
            "",
            node_format(self.driver),
            location.context,
            location.transaction,
            "rw",
        )
        spec = Spec({"driver": self.driver, "open": True})
        return start(place.open_array, spec, timeout=timeout, deadline=deadline)


def find(
    where: Where,
    *,
    kind: Literal["array", "group"] | None = None,
    format: str | None = None,  # noqa: A002 -- the plain word for it
    dtype: Any = None,
    shape: Sequence[int | None] | None = None,
    rank: int | None = None,
    codec: str | None = None,
    attributes: Mapping[str, Any] | Sequence[str] | None = None,
    damaged: Literal["raise", "skip"] = "raise",
    context: Context | None = None,
    transaction: Transaction | None = None,
) -> Listing[Found]:
    """Looks for arrays and groups at and below a place, in hierarchies and in plain folders.

    Directories are listed, and the documents of nodes read, some dozens at a time; what is below an
    array (its chunks) is not looked at, and no data is read. What comes or goes meanwhile may or
    may not be seen. In a repository nothing is listed: its index says where all documents are, of
    one state, and they are read together; in a transaction, with what that has staged.

    Args:
        where: A path of the local file system, a URL, a `KvStore`, its spec or JSON; or a
            `Repository`.
        kind: Only arrays, or only groups.
        format: Only this format, by its driver's name: ``"zarr3"``, ``"zarr2"``, ``"n5"``.
        dtype: Only arrays of this data type; the format's own name of one that is none here.
        shape: Only arrays of this shape; None for a dimension of any size.
        rank: Only arrays with so many dimensions.
        codec: Only arrays that use this codec, compressor or filter (``"zstd"``).
        attributes: Only nodes with these attributes: values by name (an ellipsis for any value),
            or names.
        damaged: What to do about a node whose documents are damaged.
        context: Resources to use.
        transaction: What reads belong to.

    Returns:
        The listing: ``async for`` gives each as it is found, nearer ones first; ``await`` all as a
        list. It fails with `DataLoss` at a node whose documents are damaged, unless they are
        skipped, and with what the store raises.

    Raises:
        InvalidArgument: An argument is wrong.
    """
    if damaged not in ("raise", "skip"):
        raise InvalidArgument(f'damaged is {damaged!r}; expected "raise" or "skip"')
    wanted = criteria(kind, dtype, shape, rank, codec, attributes)
    location = locate(where, Context() if context is None else context, None, transaction)
    named = location.driver if format is None else node_format(format).driver
    formats = node_formats() if named is None else (node_format(named),)

    async def found() -> AsyncIterator[Found]:
        view = location.store
        if location.transaction is not None:
            view = StagedStore(location.store, location.transaction)
        async for place in everything(view, location.prefix, formats):
            if place.error is not None and damaged == "raise":
                raise place.error
            if place.node is not None and wanted.accepts(place.node):
                yield _found(location, place)

    return Listing(found)


def _found(start_at: Location, place: Place) -> Found:
    fmt, node = place.format, place.node
    assert fmt is not None
    assert node is not None
    location = Location(
        start_at.store, place.prefix, fmt.driver, start_at.context, start_at.transaction
    )
    path = place.prefix[len(start_at.prefix) :].rstrip("/")
    url = f"{store_name(location.store, place.prefix)}|{_scheme(fmt)}:"
    found = node.summary
    if found is None:
        return Found(
            path, node.kind, node.attributes, node.document,
            driver=fmt.driver, url=url, _location=location,
        )  # fmt: skip
    return Found(
        path,
        node.kind,
        node.attributes,
        node.document,
        found.shape,
        found.dtype,
        found.chunk_shape,
        found.shard_shape,
        found.codecs,
        driver=fmt.driver,
        url=url,
        _location=location,
    )


def _scheme(fmt: NodeFormat) -> str:
    return "zarr2" if fmt.zarr_format == 2 else fmt.driver
