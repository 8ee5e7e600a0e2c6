"""What a transaction relies upon of an array's metadata: no more than what it did needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asynctensor.chunked.document_merge import MergeRules, meaning_changes
from asynctensor.index_space.transform import IndexTransform
from asynctensor.transaction.staged_value import Reliance

#: Index arrays of more points are not looked through for their largest: the array's bound is taken.
_MOST_POINTS = 1024


class MetadataReliance(Reliance):
    """One array, as one handle knows it.

    What its chunks mean must stay; each dimension must be as long as what was read and written;
    and those of which the bound itself was read, as long as they were.

    Args:
        rules: What in the document is what.
        document: As it is known.
        generation: Its generation.
        read: A document as this library writes it, and the shape that it says.
    """

    def __init__(
        self,
        rules: MergeRules,
        document: bytes,
        generation: bytes,
        read: Callable[[bytes], tuple[bytes, tuple[int, ...]]],
    ) -> None:
        super().__init__(generation)
        self._rules, self._read = rules, read
        self._document, self._shape = read(document)
        rank = len(self._shape)
        #: Whether something was written.
        self.writes = False
        self.written = [0] * rank
        self.read = [0] * rank
        #: Dimensions whose upper bound was read.
        self.bounds: set[int] = set()

    def cut(self, shape: Sequence[int]) -> None:
        """The transaction has made the array smaller: what was beyond does not matter."""
        self.written = [min(n, size) for n, size in zip(self.written, shape, strict=True)]
        self.read = [min(n, size) for n, size in zip(self.read, shape, strict=True)]

    def broken(
        self, stored: bytes | None, outcome: bytes | None, reads: bool
    ) -> tuple[str, ...] | None:
        """See `Reliance.broken`."""
        if not (reads or self.writes):
            return None
        if stored is None or outcome is None:
            return ()
        normal, now = self._read(stored)
        changed = meaning_changes(self._rules, self._document, normal)
        if changed:
            return changed
        new = now if outcome == stored else self._read(outcome)[1]
        names = sorted(self._rules.by_axis) or ["shape"]
        found = [
            f"{names[0]}[{dim}]"
            for dim, size in enumerate(new)
            if self.written[dim] > size
            or (reads and self.read[dim] > size)
            or (reads and dim in self.bounds and now[dim] != self._shape[dim])
        ]
        return tuple(found) or None


def extents(view: IndexTransform, shape: Sequence[int]) -> list[int]:
    """How long each dimension of an array must at least be to have all that a view shows."""
    if 0 in view.input_shape:
        return [0] * len(shape)
    found = []
    for size, m in zip(shape, view.maps, strict=True):
        if m.index_array is not None:
            if m.index_array.size > _MOST_POINTS:
                found.append(size)
                continue
            ends = (int(m.index_array.min()), int(m.index_array.max()))
        elif m.input_dimension is None:
            found.append(min(size, m.offset + 1))
            continue
        else:
            low = view.input_inclusive_min[m.input_dimension]
            ends = (low, view.input_exclusive_max[m.input_dimension] - 1)
        assert m.stride is not None
        found.append(min(size, m.offset + max(m.stride * at for at in ends) + 1))
    return found


def implicit_bounds(view: IndexTransform) -> set[int]:
    """Dimensions of an array that a view shows up to their end, wherever that is."""
    upper, lower = view.implicit_upper_bounds, view.implicit_lower_bounds
    return {
        dim
        for dim, m in enumerate(view.maps)
        if m.input_dimension is not None and (upper[m.input_dimension] or lower[m.input_dimension])
    }
