"""`Explanation`: what a read would cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

#: Decoding so many times what is asked for is worth a warning, for views of some size.
_LARGE = 4.0
#: Views below this size are not worth one: whatever is read, it is little.
_SMALL_BYTES = 64 * 1024
#: More requests than this for one MiB is worth another.
_REQUESTS_PER_MIB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a read of a view would do, without doing it; see `TensorStore.explain`.

    Counted as `TensorStore.statistics` counts what a read did.

    Attributes:
        shape: Shape of the view.
        dtype: Name of its data type.
        driver: The format of the array.
        url: Names the array.
        chunk_shape: What is decoded at once: inner chunks, where there are shards.
        shard_shape: What one key holds, where there are shards, else None.
        chunks: Keys that the view touches.
        chunks_stored: Those of them that have a value.
        inner_chunks: Chunks that the view touches: inner chunks, where there are shards.
        cached: Those of them that would come decoded from the cache.
        decoded: Those of them that would be decoded.
        requests: What the store would be asked for: values, parts of values, and keys that turn
            out to have none.
        store_reads: Those of the requests that give bytes.
        bytes_read: Bytes that they would give.
        bytes_decoded: Bytes of the chunks that would be decoded, uncompressed.
        bytes_returned: Bytes of the result.
        estimated: Whether counts were extrapolated from a part of the chunks, or sizes assumed.
        layers: Of several arrays that are read as one: what each part of the view would do.
    """

    shape: tuple[int, ...]
    dtype: str = ""
    driver: str = ""
    url: str = ""
    chunk_shape: tuple[int, ...] = ()
    shard_shape: tuple[int, ...] | None = None
    chunks: int = 0
    chunks_stored: int = 0
    inner_chunks: int = 0
    cached: int = 0
    decoded: int = 0
    requests: int = 0
    store_reads: int = 0
    bytes_read: int = 0
    bytes_decoded: int = 0
    bytes_returned: int = 0
    estimated: bool = False
    layers: tuple[Explanation, ...] = ()

    @property
    def amplification(self) -> float:
        """Bytes read per byte returned; below 1 where compression saves more than is wasted."""
        return self.bytes_read / self.bytes_returned if self.bytes_returned else 0.0

    @property
    def decoded_per_byte(self) -> float:
        """Bytes decoded per byte returned: 1 if nothing is decoded in vain."""
        return self.bytes_decoded / self.bytes_returned if self.bytes_returned else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wasteful, and what would help; empty if all is well."""
        found = []
        if self.decoded_per_byte > _LARGE and self.bytes_decoded > _SMALL_BYTES:
            found.append(
                f"{self.decoded_per_byte:.0f} bytes are decoded for each byte returned: the view "
                f"is thin where chunks {_by(self.chunk_shape)} are thick. Read a larger part at "
                "once, keep chunks in a cache_pool, or store the array in chunks of another shape"
            )
        mib = max(1.0, self.bytes_returned / 2**20)
        if self.requests > _REQUESTS_PER_MIB * mib:
            found.append(
                f"{self.requests} requests for {_size(self.bytes_returned)}: chunks are small. "
                "Store them in larger chunks, or in shards"
            )
        return tuple(found)

    def __str__(self) -> str:
        about = "about " if self.estimated else ""
        kind = "chunks" if self.shard_shape is None else "shards"
        lines = [f"Reading {self.dtype} {_by(self.shape)} of {self.url}"]
        lines += [
            f"  part      {_by(each.shape)} of {each.url}: {each.requests} requests, "
            f"{_size(each.bytes_read)}"
            for each in self.layers
        ]
        lines += [
            f"  {kind}    {self.chunks} touched, {about}{self.chunks_stored} stored",
        ]
        if self.shard_shape is not None:
            lines.append(
                f"  chunks    {self.inner_chunks} of {_by(self.chunk_shape)} touched, in shards "
                f"of {_by(self.shard_shape)}"
            )
        per_byte = f"{self.amplification:.3g} bytes read and {self.decoded_per_byte:.3g} decoded"
        lines += [
            f"  cache     {self.cached} chunks decoded already, {about}{self.decoded} to decode",
            f"  store     {about}{self.requests} requests, {_size(self.bytes_read)}",
            f"  result    {_size(self.bytes_returned)}: {per_byte} per byte",
        ]
        lines += [f"  warning   {each}" for each in self.warnings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation\n{self}\n>"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        size /= 1024
        if size < 1023.95:
            return f"{size:.1f} {unit}"
    return f"{size:.3g} EiB"


def combined(driver: str, parts: Iterable[Explanation]) -> Explanation:
    """What reading several parts does together.

    Args:
        driver: What puts them together.
        parts: Of which each is read from one array.
    """
    layers = tuple(parts)
    if not layers:
        return Explanation(shape=(), driver=driver, url=f"{driver} of nothing")
    sums = {name: sum(getattr(each, name) for each in layers) for name in _SUMMED}
    most = max(layers, key=lambda each: each.bytes_decoded)
    return replace(
        most,
        driver=driver,
        url=f"{driver} of {len(layers)} parts" if len(layers) > 1 else most.url,
        estimated=any(each.estimated for each in layers),
        layers=layers if len(layers) > 1 else most.layers,
        **sums,
    )


_SUMMED = (
    "chunks",
    "chunks_stored",
    "inner_chunks",
    "cached",
    "decoded",
    "requests",
    "store_reads",
    "bytes_read",
    "bytes_decoded",
    "bytes_returned",
)
