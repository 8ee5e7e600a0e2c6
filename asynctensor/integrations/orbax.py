"""Orbax: checkpoints that JAX restores, written and read without JAX, Orbax or TensorStore."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any, Literal

from asynctensor.chunked.pieces import for_each
from asynctensor.errors import AlreadyExists, InvalidArgument, NotFound
from asynctensor.integrations.given_kvstore import State, given_kvstore, target_of
from asynctensor.integrations.orbax_layout import (
    CHECKPOINT_METADATA,
    COMMITTED,
    MANIFEST,
    METADATA,
    STRINGS,
    Leaf,
    array_spec,
    leaves_of,
    metadata,
    parsed,
    strings,
    tree_of,
)
from asynctensor.kvstore import KvStore
from asynctensor.kvstores.ocdbt.store import OcdbtStore
from asynctensor.opening import open as open_array
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

__all__ = ["open_checkpoint", "read_checkpoint", "write_checkpoint"]

#: Whose checkpoints these are: what Orbax notes beside them.
_KIND = "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler"
#: Arrays that are written or opened at once.
_WIDTH = 8


def write_checkpoint(
    where: Any,
    tree: Any,
    *,
    zarr_format: Literal[2, 3] = 2,
    overwrite: bool = False,
    context: Context | None = None,
    transaction: Transaction | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[None]:
    """Writes a tree so that Orbax restores it, each array in an open format.

    ::

        await write_checkpoint("gs://bucket/run/100", {"params": {"w": w}, "step": 100})
        ocp.PyTreeCheckpointer().restore("gs://bucket/run/100")  # with JAX, anywhere

    Args:
        where: The folder: a `KvStore`, a `Repository`, a spec, a URL or a path.
        tree: Mappings with texts as keys, and sequences, of arrays (anything with ``__array__``,
            so also of JAX's on this machine), numbers, texts and None. Values may be changed once
            the Future is done.
        zarr_format: Of the arrays.
        overwrite: Delete what is in the folder; otherwise it may hold no checkpoint.
        context: Resources to use.
        transaction: What the writes belong to: then all of it appears at once. Otherwise
            ``_METADATA``, without which nobody restores it, comes after the arrays.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of nothing. It fails with `AlreadyExists` if there is a checkpoint, and as writes
        do. A call that is cancelled or fails leaves a folder that is no checkpoint.

    Raises:
        IncompatibleType: A leaf cannot be saved.
        InvalidArgument: A key cannot be part of a name, or `where` or an option is wrong.
    """
    if zarr_format not in (2, 3):
        raise InvalidArgument(f"`zarr_format` is 2 or 3, got {zarr_format!r}")
    leaves = leaves_of(tree)
    folder = _folder(where, context, transaction)
    return start(
        _written, folder, leaves, zarr_format, overwrite, timeout=timeout, deadline=deadline
    )


def _folder(
    where: Any,
    context: Context | None,
    transaction: Transaction | None,
    state: State | None = None,
) -> KvStore:
    given = Path(where) if isinstance(where, str) and "://" not in where else where
    return given_kvstore(given, context=context, transaction=transaction, state=state)


async def _written(folder: KvStore, leaves: list[Leaf], zarr_format: int, overwrite: bool) -> None:
    begun = time.time_ns()
    if overwrite:
        # First of all what makes it one.
        await folder.write(METADATA, None)
        await folder.delete_range(KvStore.KeyRange())
    elif (await folder.read(METADATA)).state == "value":
        raise AlreadyExists(
            "there is a checkpoint in the folder already; choose another one, or overwrite=True",
            store=folder.url,
            key=METADATA,
        )

    async def write(leaf: Leaf) -> None:
        array = await open_array(
            {**array_spec(leaf, zarr_format), "kvstore": folder / (leaf.name + "/")},
            create=True, delete_existing=True, context=folder.context,
            transaction=folder.transaction,
        )  # fmt: skip
        await array.write(leaf.value)

    await for_each((leaf for leaf in leaves if leaf.is_array), write, _WIDTH)
    texts = strings(leaves)
    if texts is not None:
        await folder.write(STRINGS, texts)
    await folder.write(METADATA, metadata(leaves, zarr_format))
    said = {
        "item_handlers": _KIND,
        "metrics": {},
        "performance_metrics": {},
        "init_timestamp_nsecs": begun,
        "commit_timestamp_nsecs": time.time_ns(),
        "custom_metadata": {},
    }
    await folder.write(CHECKPOINT_METADATA, json.dumps(said).encode())
    await folder.write(COMMITTED, b"Checkpoint commit was successful")


def open_checkpoint(
    where: Any,
    *,
    context: Context | None = None,
    transaction: Transaction | None = None,
    branch: str | None = None,
    tag: str | None = None,
    snapshot: str | None = None,
    as_of: str | dt.datetime | None = None,
) -> Future[Any]:
    """Opens a checkpoint that Orbax, or `write_checkpoint`, wrote.

    Args:
        where: Its folder, as for `write_checkpoint`; of Orbax's ``CheckpointManager`` that of an
            item: ``run/100/default``.
        context: Resources to use.
        transaction: What reads belong to.
        branch: This and the following: which state of a repository; see `Repository.kvstore`.
        tag: What a tag names.
        snapshot: The state after a commit.
        as_of: The state at a time.

    Returns:
        Future of the tree: a `TensorStore` for each array and each number, which nothing is read
        of yet; lists for sequences. It fails with `NotFound` if there is no checkpoint, with
        `Unimplemented` if it has leaves of another kind, and with `DataLoss` if it is damaged. A
        cancelled call leaves nothing behind.

    Raises:
        InvalidArgument: `where` is no folder.
    """
    state = State(branch=branch, tag=tag, snapshot=snapshot, as_of=as_of)
    return start(_tree, _folder(where, context, transaction, state))


async def _tree(folder: KvStore) -> Any:
    return tree_of(await _opened(folder))


def read_checkpoint(
    where: Any,
    *,
    context: Context | None = None,
    transaction: Transaction | None = None,
    branch: str | None = None,
    tag: str | None = None,
    snapshot: str | None = None,
    as_of: str | dt.datetime | None = None,
) -> Future[Any]:
    """Reads a checkpoint: arrays of NumPy, numbers, texts and None; all reads at the same time.

    Arguments and errors are those of `open_checkpoint`.
    """
    state = State(branch=branch, tag=tag, snapshot=snapshot, as_of=as_of)
    return start(_read, _folder(where, context, transaction, state))


async def _read(folder: KvStore) -> Any:
    opened = await _opened(folder)

    async def value(leaf: Leaf, found: Any) -> tuple[Leaf, Any]:
        return leaf, leaf.found(await found.read()) if isinstance(found, TensorStore) else found

    return tree_of(await _all([value(*each) for each in opened]))


async def _opened(folder: KvStore) -> list[tuple[Leaf, Any]]:
    """The leaves, and what they are: arrays opened."""
    text, texts, manifest = await _all(
        [folder.read(each) for each in (METADATA, STRINGS, MANIFEST)]
    )
    if text.state != "value":
        raise NotFound(
            f"there is no {METADATA}, which each item of a checkpoint has: is this its folder?",
            store=folder.url,
            key=METADATA,
        )
    arrays = _inside(folder) if manifest.state == "value" else folder
    leaves, driver = parsed(text.value, texts.value if texts.state == "value" else None)

    async def opened(leaf: Leaf) -> tuple[Leaf, Any]:
        if not leaf.is_array:
            return leaf, leaf.value
        spec = {"driver": driver, "kvstore": arrays / (leaf.name + "/")}
        return leaf, await open_array(
            spec, read=True, context=arrays.context, transaction=arrays.transaction
        )

    return await _all([opened(leaf) for leaf in leaves])


def _inside(folder: KvStore) -> KvStore:
    """What is in the OCDBT database of a checkpoint: its arrays."""
    store = OcdbtStore(target_of(folder), folder.key_prefix)
    return KvStore(store, "", context=folder.context)


async def _all(work: list[Any]) -> list[Any]:
    """What all give; after an error of one, nothing of the others is on its way."""

    async def awaited(each: Any) -> Any:
        return await each

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(awaited(each)) for each in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
