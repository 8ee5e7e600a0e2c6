"""`Loader`: batches of tensors, resumable with any number of workers and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, TypeAlias, Unpack

import torch
from torch.utils.data import DataLoader, Dataset

from asynctensor.chunked.scratch import new_output
from asynctensor.errors import Error, InvalidArgument
from asynctensor.integrations.loading import loader
from asynctensor.integrations.loading.arrays import Arrays
from asynctensor.integrations.loading.group import Group, Values
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.torch.dataset import (
    checked_ranks,
    samples_of,
    tensors,
)
from asynctensor.integrations.torch.tensors import pinned_copy, tensor_memory, tensor_of

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]


class Loader(loader.Loader[Any]):
    """Batches of tensors: one epoch at each iteration, with ``for`` or ``async for``.

    ::

        loader = Loader(Samples.rows({"image": images, "label": labels}), 64, shuffle=True)
        for batch in loader:
            train(batch["image"], batch["label"])
            checkpoint["loader"] = loader.state_dict()

    Batches are read ahead by the event loop of this process, while the caller works; that is
    enough unless `transform` is heavy. With `workers`, processes read them and call it, and they
    come in the same order. A state is a few numbers, of all ranks together: whoever loads it goes
    on with any number of workers, ranks and samples in a batch.
    """

    def __init__(
        self,
        samples: Samples | Arrays,
        batch_size: int,
        *,
        transform: Callable[[Any], Any] | None = None,
        workers: int = 0,
        start_method: StartMethod | None = None,
        pin_memory: bool = False,
        **options: Unpack[loader.LoaderOptions],
    ) -> None:
        """Nothing is read before the first iteration.

        Args:
            samples: See `Samples`; of an array, or of several by name, the rows along the first
                dimension.
            batch_size: Samples of a batch of one rank.
            transform: Called with each batch: a tensor, or one for each array's name.
            workers: Processes that read and transform.
            start_method: How they are made; None: as is usual on this system.
            pin_memory: Have batches in page-locked memory, from which copies to a device take no
                time of this thread's: ``batch.to("cuda", non_blocking=True)``. They are read right
                into it; what `workers` or `transform` made is copied there. Without an accelerator
                it changes nothing.
            options: See `LoaderOptions`; ranks are those of `torch.distributed`, if it is
                initialised.

        Raises:
            IncompatibleType: These are no arrays, or PyTorch lacks their data type.
            InvalidArgument: A number is out of range.
        """
        found = samples_of(samples)
        if workers < 0:
            raise InvalidArgument(f"there cannot be {workers} workers")
        self._transform = transform
        options["rank"], options["world_size"] = checked_ranks(
            options.get("rank"), options.get("world_size")
        )
        convert, memory = partial(_converted, transform), new_output
        if pin_memory and not workers:
            pinned = torch.accelerator.is_available()
            convert = partial(_in_memory, transform, pinned)
            memory = partial(tensor_memory, pinned=pinned)
        super().__init__(found, batch_size, convert=convert, memory=memory, **options)
        self._workers, self._start_method, self._pins = workers, start_method, pin_memory

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__() if not self._workers else self._by_workers()

    def _by_workers(self) -> Iterator[Any]:
        self.pin().result()
        groups = list(self._groups())
        read: DataLoader[Any] = DataLoader(
            _Batches(self.samples, self._transform),
            batch_size=None,
            sampler=groups,
            num_workers=self._workers,
            prefetch_factor=max(1, self._ahead // len(groups[0].behind)) if groups else None,
            multiprocessing_context=self._start_method,
            pin_memory=self._pins,
        )
        for group, batches in zip(groups, read, strict=True):
            for behind, batch in zip(group.behind, batches, strict=False):
                if isinstance(batch, Error):
                    raise batch
                self._position = behind
                yield batch
        self._ended()


class _Batches(Dataset[Any]):
    """A map-style dataset of groups of batches."""

    def __init__(self, samples: Samples, transform: Callable[[Any], Any] | None) -> None:
        self._samples, self._transform = samples, transform

    def __getitem__(self, group: Group) -> list[Any]:
        """The batches of a group; in place of the first that cannot be read, its error."""
        if self._samples.are_regions:
            return self._regions(group)
        try:
            values = self._samples.read(group.numbers, epoch=group.epoch).result()
        except Error as error:
            found: list[Any] = []
            if len(group.behind) > 1:
                for each in group.single():
                    found += self[each]
                    if isinstance(found[-1], Error):
                        break
                return found
            return [error]
        return [_converted(self._transform, batch) for batch in group.batches(values)]

    def _regions(self, group: Group) -> list[Any]:
        found: list[Any] = []
        batches = [each.numbers for each in group.single()]
        reading = self._samples.read_several(batches, epoch=group.epoch)
        try:
            for each in reading:
                try:
                    values = each.result()
                except Error as error:
                    found.append(error)
                    break
                found.append(_converted(self._transform, values))
        finally:
            # Those behind an error are not wanted.
            for each in reading:
                each.cancel()
        return found


def _in_memory(transform: Callable[[Any], Any] | None, pinned: bool, values: Values) -> Any:
    """A batch that is in the memory of tensors, as it is handed out."""
    found: Any
    if isinstance(values, dict):
        found = {name: tensor_of(value) for name, value in values.items()}
    else:
        found = tensor_of(values)
    if transform is None:
        return found
    found = transform(found)
    return pinned_copy(found) if pinned else found


def _converted(transform: Callable[[Any], Any] | None, values: Values) -> Any:
    """A batch as it is handed out."""
    found = tensors(values)
    return found if transform is None else transform(found)
