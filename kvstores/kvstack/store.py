"""``kvstack``: several kvstores as one, each responsible for a range of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields, replace
from typing import TypeAlias

from asynctensor.errors import Aborted, InvalidArgument, Unimplemented
from asynctensor.kvstores.kvstack.layers import (
    Layer,
    layer_json,
    layer_of,
    resolved,
    within,
)
from asynctensor.storage.commit_domain import Commit, CommitDomain, Committed, at_root
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    BlockingFace,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    OpenValue,
    ReadOptions,
    ReadResult,
    Replacement,
)

#: A store, and the path in it before what is left of the keys.
StoreLayer: TypeAlias = Layer[tuple[KeyValueStore, str]]


class KvStackStore(KeyValueStore):
    """A store of layers.

    Each key is that of one layer: the last whose range it lies in, whether or not that layer has
    a value for it. Keys of no layer have no value and cannot be written.

    Args:
        layers: The layers; later ones win.
    """

    driver = "kvstack"

    def __init__(self, layers: Sequence[StoreLayer]) -> None:
        self._layers = resolved(layers)
        self.capabilities = _shared([layer.base[0].capabilities for layer in self._layers])

    def __repr__(self) -> str:
        return f"KvStackStore({self._layers!r})"

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return (
            self.driver,
            tuple((e.key_range, e.strip, e.base[0].identity, e.base[1]) for e in self._layers),
        )

    @property
    def blocking(self) -> KvStackFace | None:
        """See `KeyValueStore.blocking`."""
        faces = [layer.base[0].blocking for layer in self._layers]
        if not faces or None in faces:
            return None
        return KvStackFace(self._layers)

    @property
    def commit_domain(self) -> StackCommits | None:
        """See `KeyValueStore.commit_domain`: there is one if the layers share theirs."""
        domains = [layer.base[0].commit_domain for layer in self._layers]
        first = domains[0] if domains else None
        if first is None or any(d is None or d.identity != first.identity for d in domains):
            return None
        return StackCommits(first, self._layers)

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        layer = layer_of(self._layers, key)
        if layer is None:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration.now(NO_VALUE)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        return await layer.base[0].read(_below(layer, key), options)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`.

        Raises:
            InvalidArgument: No layer has the key.
        """
        layer = _layer(self._layers, key)
        return await layer.base[0].write(_below(layer, key), value, if_equal)

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        for layer, part in within(self._layers, key_range):
            store, path = layer.base
            await store.delete_range(layer.stripped_range(part).under(path))

    async def precious(self, prefix: str) -> str | None:
        """See `KeyValueStore.precious`."""
        for layer, part in within(self._layers, KeyRange.prefix(prefix)):
            store, path = layer.base
            below = layer.stripped_range(part).under(path)
            whole = below == KeyRange.prefix(below.inclusive_min)
            found = await store.precious(below.inclusive_min) if whole else None
            if found is not None:
                return found
        return None

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        for layer, part in within(self._layers, key_range):
            store, path = layer.base
            lost = layer.lost
            async for entry in store.list(layer.stripped_range(part).under(path)):
                yield ListEntry(lost + entry.key[len(path) :], entry.size)

    def pinned(self, mark: object) -> KeyValueStore:
        """See `KeyValueStore.pinned`."""
        pinned = [
            replace(layer, base=(layer.base[0].pinned(mark), layer.base[1]))
            for layer in self._layers
        ]
        return KvStackStore(pinned) if mark is not None else self

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        layers: list[Json] = []
        for layer in self._layers:
            store, below = layer.base
            members = {"base": store.spec_json(below), **layer_json(layer)}
            layers.append(dict(sorted(members.items())))
        spec: dict[str, Json] = {"driver": self.driver, "layers": layers}
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`.

        Raises:
            Unimplemented: Always.
        """
        raise Unimplemented("URL representation not supported by kvstack; use its JSON")


class KvStackFace(BlockingFace):
    """The blocking face of a `KvStackStore` whose layers all have one."""

    def __init__(self, layers: Sequence[StoreLayer]) -> None:
        self._layers = layers

    def open(self, key: str) -> OpenValue | None:
        """See `BlockingFace.open`."""
        layer = layer_of(self._layers, key)
        return None if layer is None else _face(layer).open(_below(layer, key))

    def generation(self, key: str) -> bytes:
        """See `BlockingFace.generation`."""
        layer = layer_of(self._layers, key)
        return NO_VALUE if layer is None else _face(layer).generation(_below(layer, key))

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """See `BlockingFace.replace`."""
        outcomes: dict[int, TimestampedStorageGeneration | Exception] = {}
        parts: dict[int, tuple[StoreLayer, dict[int, Replacement]]] = {}
        for place, each in enumerate(group):
            layer = layer_of(self._layers, each.key)
            if layer is None:
                outcomes[place] = _unmapped(each.key)
                continue
            below = Replacement(_below(layer, each.key), each.value, each.if_equal)
            parts.setdefault(id(layer), (layer, {}))[1][place] = below
        for layer, part in parts.values():
            done = _face(layer).replace(list(part.values()))
            outcomes |= zip(part, done, strict=True)
        return [outcomes[place] for place in range(len(group))]


class StackCommits(CommitDomain):
    """Commits over the keys of layers that share one commit domain.

    Args:
        domain: The domain.
        layers: The layers.
    """

    def __init__(self, domain: CommitDomain, layers: Sequence[StoreLayer]) -> None:
        self._domain = domain
        self._layers = layers

    @property
    def identity(self) -> object:
        """See `CommitDomain.identity`."""
        return self._domain.identity

    @property
    def root(self) -> CommitDomain:
        """See `CommitDomain.root`."""
        return self._domain.root

    def root_key(self, key: str) -> str | None:
        """See `CommitDomain.root_key`."""
        layer = layer_of(self._layers, key)
        return None if layer is None else self._domain.root_key(_below(layer, key))

    def root_ranges(self, ranges: Sequence[KeyRange]) -> Sequence[KeyRange]:
        """See `CommitDomain.root_ranges`."""
        return self._domain.root_ranges(
            [
                layer.stripped_range(part).under(layer.base[1])
                for key_range in ranges
                for layer, part in within(self._layers, key_range)
            ]
        )

    def mark(self) -> object:
        """See `CommitDomain.mark`."""
        return self._domain.mark()

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`."""
        try:
            new = await self.root.commit(at_root(commit, self))
        except Aborted as error:
            # Whoever staged it knows the key by its name here.
            keys = (*commit.expected, *commit.values)
            error.key = next((k for k in keys if self.root_key(k) == error.key), error.key)
            raise
        names = {key: self.root_key(key) for key in commit.values}
        return Committed(
            {key: new.generations[name] for key, name in names.items() if name is not None},
            new.commit_id,
        )


def _below(layer: StoreLayer, key: str) -> str:
    return layer.base[1] + layer.stripped(key)


def _layer(layers: Sequence[StoreLayer], key: str) -> StoreLayer:
    layer = layer_of(layers, key)
    if layer is None:
        raise _unmapped(key)
    return layer


def _unmapped(key: str) -> InvalidArgument:
    return InvalidArgument(
        "no layer of the kvstack has this key in its range, so it cannot be written", key=key
    )


def _face(layer: StoreLayer) -> BlockingFace:
    face = layer.base[0].blocking
    assert face is not None
    return face


def _shared(capabilities: Sequence[Capabilities]) -> Capabilities:
    """What all of them can do."""
    if not capabilities:
        return Capabilities(writable=False)
    names = [field.name for field in fields(Capabilities)]
    return Capabilities(**{n: all(getattr(each, n) for each in capabilities) for n in names})
