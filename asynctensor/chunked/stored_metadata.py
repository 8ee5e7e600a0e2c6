"""The metadata document of one open array: what is known of it, and how it changes."""

from __future__ import annotations

from typing import Generic, TypeVar

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.array_driver import ResizeRequest
from asynctensor.chunked.documents import merge_by
from asynctensor.chunked.format import ArrayFormat
from asynctensor.chunked.relied_metadata import MetadataReliance, extents, implicit_bounds
from asynctensor.chunked.staged_append import StagedAppend
from asynctensor.errors import Error, FailedPrecondition, InvalidArgument, NotFound
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.schema_state import SchemaState
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.transaction.staged_keys import is_staged
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.staged_value import StagedDocument

M = TypeVar("M")


class StoredMetadata(Generic[M]):
    """The metadata as it is known now; a newer version is taken over as a whole.

    Args:
        fmt: The format.
        view: Where it is stored, as the transaction sees it.
        array: The array, whose layout follows it.
        value: The metadata.
        generation: Its generation.
        schema: What it says, as a schema.

    Attributes:
        key: Where it is stored.
        known: The metadata, its generation, and what it says as a schema: of one version.
        transform: The array's domain under it.
    """

    def __init__(
        self,
        fmt: ArrayFormat[M],
        view: KeyValueStore,
        array: ChunkedArray,
        value: M,
        generation: bytes,
        schema: SchemaState,
    ) -> None:
        self._format, self._view, self._array = fmt, view, array
        self.key = array.path + fmt.metadata_key
        self.known = value, generation, schema
        self.transform = _domain_transform(schema)
        self._reliance: MetadataReliance | None = None
        #: Whether it is still to be told what is relied upon.
        self._unsaid = isinstance(view, StagedStore) and view.transaction.repeatable_read

    @property
    def value(self) -> M:
        """The metadata."""
        return self.known[0]

    @property
    def generation(self) -> bytes:
        """Its generation."""
        return self.known[1]

    @property
    def schema(self) -> SchemaState:
        """What it says, as a schema."""
        return self.known[2]

    def rely(self, view: IndexTransform, bounded: IndexTransform, *, writes: bool) -> None:
        """Has the commit rest on what reading or writing a view takes.

        Args:
            view: The view.
            bounded: The same within the array as it is known.
            writes: Whether it is written.
        """
        self.rely_on_meaning()
        reliance = self._reliance
        if reliance is None:
            return
        shape = self._array.layout.shape
        ends = extents(bounded, shape)
        assert isinstance(self._view, StagedStore)
        staged = self._view.staging().staged(self.key)
        if isinstance(staged, StagedDocument):
            # What was appended goes wherever the array ends by then.
            for dim, count in staged.appended.items():
                ends[dim] = min(ends[dim], shape[dim] - count)
        if writes:
            reliance.writes = True
            reliance.written = list(map(max, reliance.written, ends))
        else:
            reliance.read = list(map(max, reliance.read, ends))
            reliance.bounds |= implicit_bounds(view)

    def rely_on_meaning(self) -> None:
        """Has the commit rest on what the array is, unless the transaction has made it.

        Raises:
            FailedPrecondition, Unimplemented: See `Transaction.participant`.
        """
        view = self._view
        if not self._unsaid or not isinstance(view, StagedStore):
            return
        fmt = self._format
        seen = view.staging().seen.get(self.key)
        document, generation = fmt.serialize(self.value), self.generation
        if is_staged(generation):
            # The transaction has changed it already: what counts is what it found.
            if seen is None or seen.state != "value":
                return
            document, generation = bytes(seen.value), seen.stamp.generation
        self._unsaid = False
        self._reliance = MetadataReliance(
            fmt.merge_rules,
            document,
            generation,
            self._read,
        )
        view.rely_on(self.key, self._reliance)

    def _read(self, document: bytes) -> tuple[bytes, tuple[int, ...]]:
        """A document as the format writes it, and the shape that it says."""
        metadata = self._format.parse(document)
        return self._format.serialize(metadata), self._format.layout(metadata).shape

    async def look_again(self) -> None:
        """Takes over what is stored if it has changed.

        Raises:
            NotFound: It was deleted.
            FailedPrecondition: It is of another kind of array now.
        """
        if isinstance(self._view, StagedStore):
            found = await self._view.glance(self.key)
        else:
            found = await self._view.read(self.key, ReadOptions(if_not_equal=self.generation))
        if found.state == "missing":
            raise self._deleted()
        if found.state == "value" and found.stamp.generation != self.generation:
            self._adopt(self._format.parse(found.value), found.stamp.generation)

    async def resize(self, request: ResizeRequest) -> bool:
        """Stores another shape, whatever others store meanwhile.

        Returns:
            Whether some dimension became smaller.

        Raises:
            NotFound: The array was deleted.
            FailedPrecondition: It is of another kind now, or a bound cannot change so.
            InvalidArgument: An array of that shape could not be opened again.
        """
        if isinstance(self._view, StagedStore):
            return await self._resize_staged(self._view, request)
        while True:
            found = await self._view.read(self.key)
            if found.state != "value":
                raise self._deleted()
            current, metadata, old, shape = self._resized(found.value, request)
            if shape == old:
                self._adopt(current, found.stamp.generation)
                return False
            conditional = self._view.capabilities.can_compare_and_swap
            stamp = await self._view.write(
                self.key,
                self._format.serialize(metadata),
                found.stamp.generation if conditional else UNKNOWN,
            )
            if stamp.generation != UNKNOWN:
                break
        self._adopt(metadata, stamp.generation)
        return any(n < o for n, o in zip(shape, old, strict=True))

    async def _resize_staged(self, view: StagedStore, request: ResizeRequest) -> bool:
        """Stages the other shape; it is merged with what others change by the commit."""
        old: tuple[int, ...] = ()
        shape: tuple[int, ...] = ()

        def resized(document: bytes | None) -> bytes:
            nonlocal old, shape
            if document is None:
                raise self._deleted()
            _, metadata, old, shape = self._resized(document, request)
            return document if shape == old else self._format.serialize(metadata)

        staged = await view.change(self.key, resized, merge_by(self._format.merge_rules))
        if staged is not None:
            for dim, (size, new) in enumerate(zip(old, shape, strict=True)):
                if size != new and staged.appended.pop(dim, None) is not None:
                    staged.followers.clear()
        await self.look_again()
        if self._reliance is not None:
            self._reliance.cut(shape)
        return any(n < o for n, o in zip(shape, old, strict=True))

    async def grow(self, dim: int, count: int) -> int:
        """Makes a dimension longer at its end; returns where what is added begins.

        Raises:
            NotFound: The array was deleted.
            FailedPrecondition: It is of another kind now.
            InvalidArgument: An array of that shape could not be opened again.
        """
        start = 0

        def grown(document: bytes | None) -> bytes:
            nonlocal start
            if document is None:
                raise self._deleted()
            current = self._format.parse(document)
            self._check_kind(current)
            shape = list(self._format.layout(current).shape)
            start = shape[dim]
            shape[dim] += count
            metadata = self._format.resized(current, tuple(shape))
            self._check_storable(metadata)
            return self._format.serialize(metadata)

        view = self._view
        if isinstance(view, StagedStore):
            staged = await view.change(self.key, grown, merge_by(self._format.merge_rules))
            if staged is not None and staged.base is not None:
                self._append(view, staged, dim, start, count)
        else:
            conditional = view.capabilities.can_compare_and_swap
            while True:
                found = await view.read(self.key)
                new = grown(bytes(found.value) if found.state == "value" else None)
                condition = found.stamp.generation if conditional else UNKNOWN
                if (await view.write(self.key, new, condition)).generation != UNKNOWN:
                    break
        await self.look_again()
        return start

    def _append(
        self, view: StagedStore, staged: StagedDocument, dim: int, start: int, count: int
    ) -> None:
        """Has what is appended follow wherever the array ends at the commit."""
        assert staged.base is not None
        base = self._format.layout(self._format.parse(staged.base)).shape
        others = staged.appended.keys() - {dim}
        if others or start != base[dim] + staged.appended.get(dim, 0):
            # Not the end as it was found, or the second dimension: it stays where it is.
            staged.appended.clear()
            staged.followers.clear()
            return
        total = staged.appended.get(dim, 0) + count
        staged.appended[dim] = total
        moved = StagedAppend(self._array, view.staging(), dim, base[dim], total)

        async def follow(document: bytes | None) -> None:
            assert document is not None
            shape = self._format.layout(self._format.parse(document)).shape
            await moved.follow(shape[dim] - total)

        staged.followers[:] = [follow]

    def _resized(
        self, document: bytes, request: ResizeRequest
    ) -> tuple[M, M, tuple[int, ...], tuple[int, ...]]:
        """The metadata before and after a resize, and their shapes."""
        current = self._format.parse(document)
        self._check_kind(current)
        old = self._format.layout(current).shape
        shape = _resized_shape(old, request)
        metadata = self._format.resized(current, shape)
        self._check_storable(metadata)
        return current, metadata, old, shape

    def _deleted(self) -> NotFound:
        return NotFound("the array was deleted", key=self.key, array=self._array.url)

    def _adopt(self, value: M, generation: bytes) -> None:
        self._check_kind(value)
        schema = self._format.schema(value).state
        self.known = value, generation, schema
        self.transform = _domain_transform(schema)
        self._array.layout = self._format.layout(value)

    def _check_kind(self, value: M) -> None:
        """Refuses metadata under which this array's chunks would mean something else."""
        fmt = self._format
        old, new = self._array.layout, fmt.layout(value)
        if (old.dtype, old.chunk_shape) == (new.dtype, new.chunk_shape):
            return
        if fmt.kind(value) != fmt.kind(self.value):
            raise FailedPrecondition(
                "the stored metadata was replaced by one of another kind of array; open it again",
                array=self._array.url,
            )

    def _check_storable(self, value: M) -> None:
        """Refuses what could be stored, but not be opened again."""
        try:
            self._format.parse(self._format.serialize(value))
        except Error as error:
            raise InvalidArgument(f"the array cannot get this shape: {error.message}") from error


def _domain_transform(schema: SchemaState) -> IndexTransform:
    domain = schema.domain
    assert domain is not None
    return IndexTransform(domain)


def _resized_shape(old: tuple[int, ...], request: ResizeRequest) -> tuple[int, ...]:
    shape = []
    for dim, (size, new) in enumerate(zip(old, request.exclusive_max, strict=True)):
        chosen = size if new is None else new
        if chosen < 0:
            raise FailedPrecondition(f"cannot resize dimension {dim} to the upper bound {chosen}")
        for refused, flag, verb in (
            (request.expand_only and chosen < size, "expand_only", "shrink"),
            (request.shrink_only and chosen > size, "shrink_only", "expand"),
        ):
            if refused:
                raise FailedPrecondition(
                    f"Resize operation would {verb} output dimension {dim} from [0, {size}) to "
                    f"[0, {chosen}) but `{flag}` was specified"
                )
        shape.append(chosen)
    return tuple(shape)
