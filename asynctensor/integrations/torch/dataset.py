"""`ArrayDataset` and `ArrayStream`: samples of arrays as PyTorch's datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, Unpack

import numpy as np
import torch
import torch.distributed
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from asynctensor.integrations.loading.arrays import Arrays
from asynctensor.integrations.loading.group import Values
from asynctensor.integrations.loading.loader import Loader, LoaderOptions
from asynctensor.integrations.loading.pinned_samples import pinned_samples
from asynctensor.integrations.loading.ranks import given_ranks
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.torch.tensors import dtype_of, to_torch

#: A tensor, or one for each array's name.
Tensors: TypeAlias = "torch.Tensor | dict[str, torch.Tensor]"


def samples_of(samples: Samples | Arrays) -> Samples:
    """`samples`, or the rows of arrays along their first dimension; PyTorch has their types.

    Raises:
        IncompatibleType: These are no arrays, or PyTorch lacks their data type.
    """
    found = samples if isinstance(samples, Samples) else Samples.rows(samples)
    for element in found.dtypes.values():
        dtype_of(element)
    return found


def tensors(values: Values) -> Tensors:
    """What was read, as tensors that share its memory."""
    if isinstance(values, dict):
        return {name: to_torch(value) for name, value in values.items()}
    return to_torch(values)


def checked_ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """This process's rank and how many there are: as given, or as `torch.distributed` says.

    Raises:
        InvalidArgument: Only one is given, or there is no such rank.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        known = torch.distributed.get_rank(), torch.distributed.get_world_size()
        return given_ranks(rank, world_size, known)
    return given_ranks(rank, world_size)


class ArrayDataset(Dataset[Any]):
    """Samples by number: a map-style dataset.

    A batch is one read, of which each chunk is fetched and decoded once. `DataLoader` hands over
    whole batches by itself (``__getitems__``) and then stacks the samples; without that copy::

        DataLoader(ArrayDataset(array), batch_size=None, sampler=BatchSampler(order, 64, False))

    It can be pickled, and used in processes that are forked, spawned, or come from a server; all
    read one version: arrays on branches are read as they are when it is made.
    """

    def __init__(self, samples: Samples | Arrays) -> None:
        """Looks up the state of arrays on branches; nothing else is read.

        Args:
            samples: See `Samples`; of an array, or of several by name, the rows along the first
                dimension.

        Raises:
            IncompatibleType: These are no arrays, or PyTorch lacks their data type.
            NotFound: A branch has no commit.
        """
        self.samples = pinned_samples(samples_of(samples)).result().samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int | Sequence[int] | torch.Tensor) -> Tensors:
        """A sample, or for several numbers a batch, with the samples along the first axis.

        Raises:
            IndexError: There is no such sample.
        """
        if isinstance(number, (int, np.integer)):
            return _part(self._batch([int(number)]), 0)
        return self._batch(number)

    def __getitems__(self, numbers: Sequence[int]) -> list[Tensors]:
        """Several samples, which are parts of one batch."""
        batch = self._batch(numbers)
        return [_part(batch, i) for i in range(len(numbers))]

    def _batch(self, numbers: Sequence[int] | torch.Tensor) -> Tensors:
        return tensors(self.samples.read(np.asarray(numbers)).result())


def _part(batch: Tensors, i: int) -> Tensors:
    if isinstance(batch, dict):
        return {name: each[i] for name, each in batch.items()}
    return batch[i]


class ArrayStream(IterableDataset[Any]):
    """Batches of samples, shared out to ranks and worker processes by whole shuffle windows.

    What one worker reads, no other one does, and no chunk is decoded twice in an epoch. Use it as
    ``DataLoader(stream, batch_size=None, num_workers=...)``; a batch is a tensor of shape
    ``(samples, ...)``, or one for each array's name. Workers need not have equally many.

    Each epoch is shuffled alike until `set_epoch` is called, as for PyTorch's own samplers: with
    workers, it is copies of this that are iterated. `state_dict` and `load_state_dict` are those
    of one worker's share, for `StatefulDataLoader`; a state with which any number of workers can
    go on is `Loader`'s. All workers read one version: arrays on branches are read as they are when
    this is made, or as of the state that is loaded.
    """

    def __init__(
        self,
        samples: Samples | Arrays,
        batch_size: int,
        **options: Unpack[LoaderOptions],
    ) -> None:
        """Looks up the state of arrays on branches; nothing else is read.

        Args:
            samples: As for `ArrayDataset`.
            batch_size: Samples of a batch.
            options: See `LoaderOptions`. What is left at the end of an epoch is that of a worker;
                ranks are those of `torch.distributed`, if it is initialised.

        Raises:
            IncompatibleType: As for `ArrayDataset`.
            InvalidArgument: A number is out of range.
            NotFound: A branch has no commit.
        """
        found = samples_of(samples)
        self._rank, self._world_size = checked_ranks(
            options.pop("rank", None), options.pop("world_size", None)
        )
        self._loader: Loader[Tensors] = Loader(found, batch_size, convert=tensors, **options)
        self._loader.pin().result()
        self.samples = self._loader.samples
        self._epoch = 0
        self._current: Loader[Tensors] | None = None
        self._resumes = False

    def set_epoch(self, epoch: int) -> None:
        """Has iterations load this epoch, from its beginning.

        Raises:
            InvalidArgument: It is negative.
        """
        self._loader.set_epoch(epoch)
        self._epoch, self._current = epoch, None

    def _share(self) -> Loader[Tensors]:
        """The share of this worker of this rank."""
        info = get_worker_info()
        workers, number = (1, 0) if info is None else (info.num_workers, info.id)
        share = self._rank * workers + number
        return self._loader.of_share(share, self._world_size * workers)

    def __iter__(self) -> Iterator[Tensors]:
        if self._current is None or not self._resumes:
            self._current = self._share()
            self._current.set_epoch(self._epoch)
        self._resumes = False
        return iter(self._current)

    def state_dict(self) -> dict[str, Any]:
        """How far this worker is, behind the last batch that it handed out."""
        return (self._current or self._share()).state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Has the next iteration go on from there.

        Raises:
            InvalidArgument: This is no such state.
            FailedPrecondition: It is one of other data, another order, or another share: of so many
                workers and ranks.
        """
        self._current = self._share()
        self._current.load_state_dict(state)
        # Epochs that come later are of the same version.
        self._loader.pin(self._current.pin().result()).result()
        self._epoch, self._resumes = self._current.epoch, True
