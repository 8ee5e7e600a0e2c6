"""What schemas, specs and arrays all tell of an array."""

from __future__ import annotations

from abc import abstractmethod

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_constraint import Fill
from asynctensor.schema.indexing_operations import IndexingOperations
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.unit import Unit


class SchemaProperties(IndexingOperations):
    """The properties that follow from a schema, and the indexing operations.

    Subclasses say what the schema is; whoever knows a property sooner overrides it.
    """

    __slots__ = ()

    @abstractmethod
    def _schema_state(self) -> SchemaState:
        """All that is known, in the indices of this object."""

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None if unspecified."""
        return self._schema_state().rank

    @property
    def ndim(self) -> int | None:
        """The same as `rank`."""
        return self.rank

    @property
    def dtype(self) -> dtype | None:
        """Data type, None if unspecified."""
        return self._schema_state().dtype

    @property
    def domain(self) -> IndexDomain | None:
        """Domain, None if unspecified."""
        return self._schema_state().domain

    def _known_domain(self) -> IndexDomain:
        domain = self.domain
        if domain is None:
            name = type(self).__name__
            raise InvalidArgument(f"The domain of this {name} is not specified; update(domain=)")
        return domain

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().shape

    @property
    def origin(self) -> tuple[int, ...]:
        """Lower bounds of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().origin

    @property
    def size(self) -> int:
        """Number of elements of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().size

    @property
    def chunk_layout(self) -> ChunkLayout:
        """A copy of what is known of where chunks begin and end."""
        return ChunkLayout.from_state(self._schema_state().layout)

    @property
    def codec(self) -> CodecSpec | None:
        """How chunks are encoded, None if unspecified."""
        return self._schema_state().codec

    @property
    def fill_value(self) -> Fill | None:
        """What unwritten elements read as, None if unspecified; broadcastable to the domain.

        A read-only array. Its data type is `dtype` where that was known when the fill value was
        given; else that of the array given, or `object` for JSON values.
        """
        return self._schema_state().fill_value

    @property
    def dimension_units(self) -> tuple[Unit | None, ...] | None:
        """Unit per dimension (None: unknown); None as a whole where the rank is unknown."""
        state = self._schema_state()
        rank = self.rank
        return None if rank is None else state.units or (None,) * rank
