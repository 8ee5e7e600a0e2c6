"""`CheckpointWriter` and `CheckpointReader`: `torch.distributed.checkpoint` in a repository."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from asynctensor.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from asynctensor.integrations.torch.checkpoint_layout import (
    CONTENTS,
    array_spec,
    contents,
    metadata_of,
    path_of,
)
from asynctensor.integrations.torch.tensors import from_torch, to_torch
from asynctensor.kvstore import KvStore
from asynctensor.opening import open as open_array
from asynctensor.repository.repository import Repository
from asynctensor.runtime.batch import Batch
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

#: Where a repository is: opened, a path, a URL, or JSON.
Location: TypeAlias = "Repository | str | Path | dict[str, Any]"


def _opened(location: Location, *, create: bool = False) -> Repository:
    if isinstance(location, Repository):
        return location
    return Repository.open(location, create=create).result()


def _folder(path: str) -> str:
    return path.rstrip("/") + "/" if path else ""


class CheckpointWriter(StorageWriter):
    """Saves a checkpoint as one commit, each tensor as an array that any tool can open.

    ::

        writer = CheckpointWriter("s3://bucket/run", message=f"step {step}")
        torch.distributed.checkpoint.save(state, storage_writer=writer)

    All ranks write at the same time, each chunk once; nothing is visible before the coordinator's
    commit, and the previous state of the folder stays in the history. If a rank fails, the commit
    does not happen; what was stored for it is nobody's, and its transaction is aborted by the next
    save, or when the writer is gone.
    """

    def __init__(
        self,
        repository: Location,
        path: str = "checkpoint",
        *,
        message: str | None = None,
        author: str | None = None,
        metadata: dict[str, Any] | None = None,
        branch: str = "main",
    ) -> None:
        """Nothing is opened before the first save.

        Args:
            repository: Where; on all ranks the same. It is made if there is none.
            path: Folder in it; a save replaces what is there.
            message: Why, for the log.
            author: By whom.
            metadata: What else to note with the commit: JSON.
            branch: Where to commit.
        """
        self._location, self._path, self._branch = repository, _folder(path), branch
        self._terms: dict[str, Any] = {"message": message, "author": author, "metadata": metadata}
        self._coordinates = False
        self._repository: Repository | None = None
        self._transaction: Transaction | None = None

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begins another save; `checkpoint_id`, if it is given, is the folder."""
        self._abort()
        if checkpoint_id is not None:
            self._path = _folder(os.fspath(checkpoint_id))

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Notes this rank's part."""
        self._abort()
        self._coordinates = is_coordinator

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Begins the transaction, and gives each rank what it needs to join it."""
        specs = _specs(plans)
        self._repository = _opened(self._location, create=True)
        txn = self._repository.transaction(branch=self._branch, **self._terms)
        self._transaction = txn
        token = txn.share()
        store = self._store(txn)
        store.delete_range(KvStore.KeyRange()).result()
        made = [
            open_array(
                {**spec, "kvstore": self._store(txn, path_of(name) + "/")},
                transaction=txn,
                create=True,
            )
            for name, spec in specs.items()
        ]
        for each in made:
            each.result()
        return [
            SavePlan(
                plan.items,
                (token, number, {item.index.fqn: specs.get(item.index.fqn) for item in plan.items}),
                plan.planner_data,
            )
            for number, plan in enumerate(plans)
        ]

    def _store(self, txn: Transaction, path: str = "") -> KvStore:
        assert self._repository is not None
        return self._repository.kvstore(self._path + path, branch=self._branch, transaction=txn)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Stages this rank's part and gives the receipt that the commit needs."""
        if plan.storage_data is None:
            raise FailedPrecondition(
                "the plan has lost what CheckpointWriter put into it: save without caching plans"
            )
        token, number, specs = plan.storage_data
        if self._repository is None:
            self._repository = _opened(self._location)
        part = Transaction.join(token).result()
        sizes: list[int] = []
        writes: list[Any] = []
        arrays: dict[str, TensorStore] = {}
        for item in plan.items:
            name = item.index.fqn
            data = planner.resolve_data(item)
            if item.type is WriteItemType.BYTE_IO:
                assert isinstance(data, io.BytesIO)
                value = data.getvalue()
                store = self._store(part)
                writes.append(store.write(path_of(name) + ".pickle", value))
                sizes.append(len(value))
                continue
            assert isinstance(data, torch.Tensor)
            if name not in arrays:
                arrays[name] = open_array(
                    {**specs[name], "kvstore": self._store(part, path_of(name) + "/")},
                    transaction=part, open=True, assume_metadata=True,
                ).result()  # fmt: skip
            values = from_torch(data)
            writes.append(arrays[name][_region(item)].write(values))
            sizes.append(values.nbytes)
        for each in writes:
            each.result()
        receipt = part.finish(worker=f"rank {number}").result()
        results = [
            WriteResult(item.index, size, receipt)
            for item, size in zip(plan.items, sizes, strict=True)
        ]
        done: Future[list[WriteResult]] = Future()
        done.set_result(results)
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Commits what all ranks staged.

        Raises:
            Aborted: Somebody else changed the same folder meanwhile; nothing of it is visible.
            CommitUnknown: The store did not say whether it was committed.
        """
        txn = self._transaction
        assert txn is not None
        for of_rank in results:
            if of_rank:
                txn.add(of_rank[0].storage_data)
        self._store(txn).write(CONTENTS, contents(metadata)).result()
        self._transaction = None
        txn.commit_sync()

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether a folder may be called so: PyTorch is never to choose this writer by itself."""
        del checkpoint_id
        return False

    def storage_meta(self) -> StorageMeta | None:
        """Where it is."""
        return StorageMeta(checkpoint_id=self._path)

    def _abort(self) -> None:
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None

    def __del__(self) -> None:
        self._abort()


def _specs(plans: list[SavePlan]) -> dict[str, dict[str, Any]]:
    """The spec of each tensor's array, from all ranks' shards of it."""
    shards: dict[str, list[WriteItem]] = {}
    for plan in plans:
        for item in plan.items:
            if item.tensor_data is not None:
                shards.setdefault(item.index.fqn, []).append(item)
    specs = {}
    for name, items in shards.items():
        first = items[0].tensor_data
        assert first is not None
        chunks = [item.tensor_data.chunk for item in items if item.tensor_data is not None]
        specs[name] = array_spec(name, TensorStorageMetadata(first.properties, first.size, chunks))
    return specs


def _region(item: WriteItem) -> tuple[slice, ...]:
    assert item.tensor_data is not None
    chunk = item.tensor_data.chunk
    return tuple(slice(at, at + n) for at, n in zip(chunk.offsets, chunk.sizes, strict=True))


class CheckpointReader(StorageReader):
    """Loads a checkpoint that `CheckpointWriter` saved, sharded in any way, as of any commit.

    ::

        reader = CheckpointReader("s3://bucket/run", snapshot=best)
        torch.distributed.checkpoint.load(state, storage_reader=reader)

    All ranks read one state: the one that the coordinator found. Tensors are read straight into
    the memory of those that are loaded, if that is the processor's.
    """

    def __init__(
        self,
        repository: Location,
        path: str = "checkpoint",
        *,
        branch: str | None = None,
        tag: str | None = None,
        snapshot: str | None = None,
    ) -> None:
        """Nothing is opened before the first load.

        Args:
            repository: Where.
            path: Folder in it.
            branch: The newest state of a branch; ``"main"`` if nothing else is given.
            tag: What a tag names.
            snapshot: The state after the commit of this id.

        Raises:
            InvalidArgument: Several states are given.
        """
        given = [each for each in (branch, tag, snapshot) if each is not None]
        if len(given) > 1:
            raise InvalidArgument("give one of `branch`, `tag` and `snapshot`")
        self._location, self._path = repository, _folder(path)
        self._state = given[0] if given else "main"
        self._snapshot: str | None = None
        self._repository: Repository | None = None
        self._metadata: Metadata | None = None

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begins another load; `checkpoint_id`, if it is given, is the folder."""
        if checkpoint_id is not None:
            self._path = _folder(os.fspath(checkpoint_id))
        self._snapshot = self._metadata = None

    def _store(self, path: str = "") -> KvStore:
        """A folder, as of the state that is loaded."""
        if self._repository is None:
            self._repository = _opened(self._location)
        if self._snapshot is None:
            newest = next(iter(self._repository.log(self._state, limit=1)), None)
            if newest is None:
                raise NotFound(f"there is no commit at {self._state!r}")
            self._snapshot = newest.id
        return self._repository.kvstore(self._path + path, snapshot=self._snapshot)

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """What is in the checkpoint.

        Raises:
            NotFound: There is no checkpoint.
            DataLoss: It is damaged.
        """
        found = self._store().read(CONTENTS).result()
        if found.state != "value":
            raise NotFound(
                f"there is no checkpoint in folder {self._path!r} as of {self._snapshot}"
            )
        return metadata_of(found.value, self._path + CONTENTS)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Notes what there is."""
        self._metadata = metadata

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Has all ranks read the state that the coordinator found."""
        return [LoadPlan(each.items, self._snapshot, each.planner_data) for each in plans]

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Reads what this rank loads, all at the same time.

        Raises:
            NotFound: An array of it is missing.
            DataLoss: Something of it is damaged.
        """
        if plan.storage_data is not None:
            self._snapshot = plan.storage_data
        names = {item.storage_index.fqn for item in plan.items if item.type is LoadItemType.TENSOR}
        opening = {
            name: open_array({"driver": "zarr3", "kvstore": self._store(path_of(name) + "/")})
            for name in sorted(names)
        }
        arrays = {name: each.result() for name, each in opening.items()}
        values = {
            item.storage_index.fqn: self._store().read(path_of(item.storage_index.fqn) + ".pickle")
            for item in plan.items
            if item.type is LoadItemType.BYTE_IO
        }
        reads = []
        with Batch() as batch:
            for item in plan.items:
                if item.type is LoadItemType.BYTE_IO:
                    continue
                target = planner.resolve_tensor(item).detach()
                at = [a + b for a, b in zip(
                    item.storage_index.offset or [0] * len(item.lengths),
                    item.storage_offsets, strict=True,
                )]  # fmt: skip
                region = tuple(slice(a, a + n) for a, n in zip(at, item.lengths, strict=True))
                view = arrays[item.storage_index.fqn][region]
                out = from_torch(target) if _is_here(target, view) else None
                reads.append((item, target, view.read(out=out, batch=batch), out))
        for item, target, read, out in reads:
            found = read.result()
            if out is None:
                target.copy_(to_torch(found))
            planner.commit_tensor(item, target)
        for item in plan.items:
            if item.type is LoadItemType.BYTE_IO:
                value = values[item.storage_index.fqn].result()
                if value.state != "value":
                    raise DataLoss(f"the checkpoint lacks {item.storage_index.fqn!r}")
                planner.load_bytes(item, io.BytesIO(value.value))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether a folder may be called so: PyTorch is never to choose this reader by itself."""
        del checkpoint_id
        return False


def _is_here(target: torch.Tensor, view: TensorStore) -> bool:
    """Whether a view can be read right into a tensor's memory."""
    return (
        target.device.type == "cpu"
        and target.layout is torch.strided
        and not target.is_conj()
        and not target.is_neg()
        and from_torch(target[..., :0] if target.dim() else target).dtype == view.dtype.numpy_dtype
    )
