"""What an index transform holds, apart from what it can do.

The operations (composition, indexing, propagation) are functions over `TransformRep`; the class
that users see, `IndexTransform`, adds the methods. So no module needs another back.
"""

from __future__ import annotations

from typing import Self, TypeVar

from asynctensor.index_space.output_map import OutputIndexMap

Ints = tuple[int, ...]
Flags = tuple[bool, ...]
#: Lower bounds, upper bounds, and which of them are implicit.
BoxBounds = tuple[Ints, Ints, Flags, Flags]
R = TypeVar("R", bound="TransformRep")
_new = object.__new__


class Indexer:
    """What may stand in the brackets of a transform or domain and applies itself."""

    __slots__ = ()

    def apply_to_transform(self, transform: R) -> R:
        """The transform that results from indexing `transform` by this."""
        raise NotImplementedError


class _Fields:
    """The fields of a `TransformRep` while they are filled in (see `OutputIndexMap`)."""

    __slots__ = (
        "implicit_lower_bounds",
        "implicit_upper_bounds",
        "input_exclusive_max",
        "input_inclusive_min",
        "input_labels",
        "maps",
    )

    input_inclusive_min: Ints
    input_exclusive_max: Ints
    implicit_lower_bounds: Flags
    implicit_upper_bounds: Flags
    input_labels: tuple[str, ...]
    maps: tuple[OutputIndexMap, ...]


class TransformRep(_Fields):
    """Domain and output maps of a transform, immutable, unchecked.

    Attributes:
        input_inclusive_min: Lower bound of each input dimension, ``-inf`` if unbounded.
        input_exclusive_max: Upper bound of each input dimension, ``inf + 1`` if unbounded.
        implicit_lower_bounds: Which lower bounds are implicit.
        implicit_upper_bounds: Which upper bounds are implicit.
        input_labels: Label of each input dimension, empty for none.
        maps: One map per output dimension. The index array of a map has the rank of the input;
            its size is 1 along dimensions on which it does not depend, and the size of the
            domain along the others.
    """

    __slots__ = ()

    @classmethod
    def make(
        cls, bounds: BoxBounds, labels: tuple[str, ...], maps: tuple[OutputIndexMap, ...]
    ) -> Self:
        """A transform of these parts, taken as they are."""
        fields = _new(_Fields)
        fields.input_inclusive_min = bounds[0]
        fields.input_exclusive_max = bounds[1]
        fields.implicit_lower_bounds = bounds[2]
        fields.implicit_upper_bounds = bounds[3]
        fields.input_labels = labels
        fields.maps = maps
        fields.__class__ = cls
        return fields  # type: ignore[return-value]  # `cast` would be a call

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of all fields."""
        return _Fields.__slots__

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set")

    @property
    def bounds(self) -> BoxBounds:
        """The bounds of the domain: lower, upper, and which of them are implicit."""
        return (
            self.input_inclusive_min,
            self.input_exclusive_max,
            self.implicit_lower_bounds,
            self.implicit_upper_bounds,
        )

    @property
    def input_rank(self) -> int:
        """Number of input dimensions."""
        return len(self.input_inclusive_min)

    @property
    def output_rank(self) -> int:
        """Number of output dimensions."""
        return len(self.maps)

    @property
    def input_shape(self) -> Ints:
        """Size of each input dimension."""
        return tuple(
            [
                hi - lo
                for lo, hi in zip(self.input_inclusive_min, self.input_exclusive_max, strict=True)
            ]
        )
