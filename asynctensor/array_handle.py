"""`ArrayHandle`: what is known of an array, or of a view of one, without any I/O."""

from __future__ import annotations

from typing import Any, Self

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.view import View
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.indexable import Indexable
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore import KvStore
from asynctensor.registry import driver_module
from asynctensor.runtime.context import Context
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import DTypeLike, dtype
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.keywords import optional_type
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_properties import SchemaProperties
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.schema_transform import transformed
from asynctensor.schema.unit import Unit
from asynctensor.spec_state import SpecState
from asynctensor.transaction.transaction import Transaction


class ArrayHandle(SchemaProperties, Indexable):
    """An index transform over a driver: what it is, and the views of it; see `TensorStore`."""

    __slots__ = ("_context", "_driver", "_mode", "_opened", "_transform")
    __hash__ = object.__hash__

    def __init__(
        self,
        driver: ArrayDriver,
        transform: IndexTransform,
        context: Context,
        mode: str = "rw",
        opened: SpecState | None = None,
    ) -> None:
        """Made by `open` and by indexing.

        Args:
            driver: Serves the array.
            transform: From the indices of this view to those of the array.
            context: Where resources come from.
            mode: ``"r"``, ``"w"`` or ``"rw"``.
            opened: The spec that was opened, bound to the resources it uses.
        """
        self._driver, self._transform = driver, transform
        self._context, self._mode, self._opened = context, mode, opened

    # -- what it is -------------------------------------------------------------------------

    @property
    def domain(self) -> IndexDomain:
        """The domain of the view; fixed when it was made, see `resolve`."""
        return self._transform.domain

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self._transform.input_rank

    @property
    def ndim(self) -> int:
        """The same as `rank`."""
        return self._transform.input_rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the domain."""
        return self._transform.input_shape

    @property
    def origin(self) -> tuple[int, ...]:
        """Lower bounds of the domain."""
        return self._transform.input_inclusive_min

    @property
    def size(self) -> int:
        """Number of elements of the domain."""
        return self._transform.domain.size

    @property
    def dtype(self) -> dtype:
        """Data type of the elements."""
        return self._driver.data_type

    @property
    def mode(self) -> str:
        """``"r"``, ``"w"`` or ``"rw"``."""
        return self._mode

    @property
    def readable(self) -> bool:
        """Whether it can be read."""
        return "r" in self._mode

    @property
    def writable(self) -> bool:
        """Whether it can be written."""
        return "w" in self._mode

    def _schema_state(self) -> SchemaState:
        return transformed(self._driver.schema().state, self._transform)

    @property
    def schema(self) -> Schema:
        """All that is known of the array, in the indices of this view."""
        return Schema.from_state(self._schema_state())

    @property
    def codec(self) -> CodecSpec | None:
        """How chunks are encoded."""
        return self._driver.schema().codec

    @property
    def dimension_units(self) -> tuple[Unit | None, ...]:
        """Unit per dimension, None where it is not known."""
        return self._schema_state().units or (None,) * self.rank

    @property
    def kvstore(self) -> KvStore | None:
        """Where it is stored."""
        found = self._driver.kvstore()
        if found is None:
            return None
        store, path = found
        base = getattr(store, "base", store) if self.transaction is not None else store
        opened = None if self._opened is None else self._opened.kvstore
        return KvStore(
            base, path, transaction=self.transaction, context=self._context, opened=opened
        )

    @property
    def base(self) -> Self | None:
        """The array below, if the driver is an adapter."""
        below = self._driver.base(self._transform)
        if below is None:
            return None
        opened = None if self._opened is None else self._opened.base
        return type(self)(below.driver, below.transform, self._context, below.mode, opened)

    @property
    def transaction(self) -> Transaction | None:
        """What reads and writes belong to."""
        return self._driver.transaction

    @property
    def context(self) -> Context:
        """The resources it uses."""
        return self._context

    def statistics(self) -> Any:
        """What the array has done so far: reads, chunks decoded, cache hits, bytes ..."""
        return self._driver.statistics()

    # -- views ------------------------------------------------------------------------------

    def _indexing_transform(self) -> IndexTransform:
        return self._transform

    def _with_indexing_transform(self, transform: IndexTransform) -> Self:
        return type(self)(self._driver, transform, self._context, self._mode, self._opened)

    def __getitem__(self, key: Any) -> Self:
        """A view; nothing is read."""
        return self._with_indexing_transform(self._transform[key])

    @property
    def T(self) -> Self:  # noqa: N802 (TensorStore's name)
        """The dimensions in reverse order."""
        return type(self)(self._driver, self._transform.T, self._context, self._mode, self._opened)

    def __copy__(self) -> Self:
        """The same view; what is stored is not copied."""
        return self._with_indexing_transform(self._transform)

    def astype(self, dtype: DTypeLike) -> Self:
        """A view whose elements are converted to another data type as they are read and written.

        Args:
            dtype: The other data type: what `asynctensor.dtype` takes.

        Raises:
            InvalidArgument: There is no conversion, or no such data type.
        """
        workers = self._context.resolve("data_copy_concurrency").value
        made = driver_module("cast").cast_view(self._view(), data_type(dtype), workers)
        opened = None if self._opened is None else SpecState("cast", base=self._opened)
        return type(self)(made.driver, made.transform, self._context, made.mode, opened)

    def _view(self) -> View:
        return View(self._driver, self._transform, self._mode)

    def with_transaction(self, transaction: Transaction | None) -> Self:
        """The same view, whose reads and writes belong to `transaction` (None: to none).

        Raises:
            IncompatibleType: It is no transaction.
        """
        driver = self._driver.bound(optional_type(transaction, Transaction, "transaction"))
        return type(self)(driver, self._transform, self._context, self._mode, self._opened)
