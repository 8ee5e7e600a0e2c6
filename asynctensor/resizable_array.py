"""`ResizableArray`: the bounds of a view, and how they change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

import numpy.typing as npt

from asynctensor.appending import append_to
from asynctensor.array_handle import ArrayHandle
from asynctensor.chunked.array_driver import ProgressFunction, ResizeRequest
from asynctensor.chunked.source import as_source_of
from asynctensor.errors import (
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    PermissionDenied,
)
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future

Result = TypeVar("Result")


class ResizableArray(ArrayHandle):
    """A handle whose bounds can be looked up and changed; see `TensorStore`."""

    __slots__ = ()

    def resolve(
        self,
        fix_resizable_bounds: bool = False,
        batch: Batch | None = None,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Self]:
        """The same view with implicit bounds as they are stored now.

        Args:
            fix_resizable_bounds: Make all bounds explicit.
            batch: Accepted; one metadata document is read at most.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
        """
        del batch

        async def resolved() -> Self:
            await self._driver.refresh()
            return self._with_indexing_transform(self._resolved(fix_resizable_bounds))

        return start(resolved, timeout=timeout, deadline=deadline)

    def _resolved(self, fix: bool = False) -> IndexTransform:
        transform = resolve_over(self._transform, self._driver.transform())
        return transform.mark_bounds_implicit[False] if fix else transform

    def resize(
        self,
        inclusive_min: Sequence[int | None] | None = None,
        exclusive_max: Sequence[int | None] | None = None,
        resize_metadata_only: bool = False,
        resize_tied_bounds: bool = False,
        expand_only: bool = False,
        shrink_only: bool = False,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> Future[Self]:
        """Changes the bounds of the stored array.

        Args:
            inclusive_min: New lower bounds; formats here fix them at 0.
            exclusive_max: New upper bounds (None: unchanged), in the indices of this view.
            resize_metadata_only: Leave chunks that fall outside in the store.
            resize_tied_bounds: Also allow it where the view does not show the whole array.
            expand_only: Fail if a dimension would shrink.
            shrink_only: Fail if a dimension would grow.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each deleted chunk.

        Returns:
            Future of the view with its new bounds. It fails with `FailedPrecondition` where a
            bound cannot change. The new bounds hold once the metadata is replaced; a call that
            fails or is cancelled after that leaves chunks behind that nobody sees.
        """
        upper = self._upper_bounds(inclusive_min, exclusive_max, resize_tied_bounds)
        request = ResizeRequest(upper, resize_metadata_only, expand_only, shrink_only)
        if not self.writable:
            raise PermissionDenied("Destination does not support writing.")

        async def resized() -> Self:
            await self._driver.resize(request, progress)
            return self._with_indexing_transform(self._resolved())

        return self._run(resized, timeout=timeout, deadline=deadline)

    def append(
        self,
        source: npt.ArrayLike,
        axis: int = 0,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> Future[Self]:
        """Makes the array longer along one dimension, and writes what is added. Beyond TensorStore.

        Of several that append at the same time, each gets a place of its own, one after the
        other. In a transaction, the place is the end of the array as the transaction sees it until
        the commit, and then the end of the array as it is stored: what others have appended
        meanwhile stays before it.

        Args:
            source: What to add: an array of this rank, as long as this one in all dimensions but
                `axis`, that can be cast to the data type without loss.
            axis: The dimension; from the last one if negative.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each chunk, from worker threads.

        Returns:
            Future of the view with its new bounds. It fails with `FailedPrecondition` where the
            bound cannot change, and with `InvalidArgument` if the shape does not fit. Where the
            store can commit several keys at once, it is all or nothing; elsewhere, a call that
            fails or is cancelled may leave the array longer, with fill values in the place.

        Raises:
            IncompatibleType: The source cannot be cast.
            InvalidArgument: It is of another rank, or there is no such dimension.
        """
        if not self.writable:
            raise PermissionDenied("Destination does not support writing.")
        data = as_source_of(source, self._driver.data_type)
        if data.ndim != self.rank or not -self.rank <= axis < self.rank:
            raise InvalidArgument(
                f"an array of rank {data.ndim} cannot be appended along dimension {axis} of one of "
                f"rank {self.rank}"
            )
        # Kept until it is written: the caller may change it meanwhile.
        data = data.copy()

        async def appended() -> Self:
            await append_to(self._view(), data, axis % self.rank, progress)
            return self._with_indexing_transform(self._resolved())

        return self._run(appended, timeout=timeout, deadline=deadline)

    def _run(
        self,
        function: Callable[..., Awaitable[Result]],
        *args: Any,
        timeout: float | None,
        deadline: float | None,
    ) -> Future[Result]:
        """Starts an operation of several steps; in a transaction, the commit waits for it."""
        run = start if self.transaction is None else self.transaction.run
        return run(function, *args, timeout=timeout, deadline=deadline)

    def _upper_bounds(
        self,
        inclusive_min: Sequence[int | None] | None,
        exclusive_max: Sequence[int | None] | None,
        tied: bool,
    ) -> tuple[int | None, ...]:
        """New upper bounds of the stored array's dimensions."""
        lower = _per_dimension("inclusive_min", inclusive_min, self.rank)
        upper = _per_dimension("exclusive_max", exclusive_max, self.rank)
        t = self._transform
        implicit = self._driver.transform().implicit_upper_bounds
        found: list[int | None] = [None] * t.output_rank
        for dim in range(self.rank):
            if lower[dim] is not None and lower[dim] != t.input_inclusive_min[dim]:
                raise FailedPrecondition(f"Cannot change explicit lower bound of dimension {dim}")
            new = upper[dim]
            if new is None:
                continue
            outputs = [o for o, m in enumerate(t.maps) if m.input_dimension == dim]
            fits = len(outputs) == 1 and t.maps[outputs[0]].stride == 1
            if not fits or not (t.implicit_upper_bounds[dim] or tied):
                if new == t.input_exclusive_max[dim]:
                    continue
                raise FailedPrecondition(
                    f"Cannot change explicit upper bound of dimension {dim}; resize the whole "
                    "array, or a view made with resizable bounds"
                )
            (o,) = outputs
            if not implicit[o]:
                raise FailedPrecondition(f"dimension {o} of the array cannot be resized")
            found[o] = t.maps[o].offset + new
        return tuple(found)


def _per_dimension(
    name: str, value: Iterable[int | None] | None, rank: int
) -> tuple[int | None, ...]:
    if value is None:
        return (None,) * rank
    if not isinstance(value, Iterable):
        raise IncompatibleType(f"{name} must be a sequence of int or None, but is: {value!r}")
    found = tuple(value)
    if len(found) != rank:
        raise InvalidArgument(f"{name} has {len(found)} elements, expected {rank}")
    return tuple(None if n is None else int(n) for n in found)
