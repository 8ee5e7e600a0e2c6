"""Whether a chunk holds nothing but fill values."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.codec import Array


def is_fill(chunk: Array, fill_value: Array) -> bool:
    """Whether every element has the bits of `fill_value` (NaN is NaN, -0.0 is not 0.0).

    Args:
        chunk: The elements.
        fill_value: 0-dimensional, or a vector of the length of the chunk's last axis.
    """
    if not chunk.size:
        return True
    if chunk.dtype.hasobject:
        return _is_object_fill(chunk, fill_value[()])
    fill = np.asarray(fill_value, dtype=chunk.dtype)
    # Nearly every chunk differs at one of its ends.
    place = (0,) * (chunk.ndim - fill.ndim)
    for k in (0, -1):
        end = chunk[(k,) * len(place) + (...,)]
        if end.tobytes() != fill.tobytes():
            return False
    return bool((_bits(chunk) == _bits(fill.reshape((1,) * len(place) + fill.shape))).all())


def same_elements(one: Array, other: Array) -> Array:
    """Where two arrays of one type and shape have the same bits, or equal objects of one type."""
    if one.dtype.hasobject:
        pairs = zip(one.flat, other.flat, strict=True)
        same = [type(a) is type(b) and a == b for a, b in pairs]
        return np.array(same, np.bool_).reshape(one.shape)
    bits = _bits(np.ascontiguousarray(one)) == _bits(np.ascontiguousarray(other))
    same_bits: Array = bits if bits.ndim == one.ndim else bits.all(axis=-1)
    return same_bits


def begin_with_fill(chunks: Array, fill_value: Array) -> list[bool]:
    """For each chunk whether it may be nothing but fill values, going by its first element."""
    if not chunks.size or chunks.dtype.hasobject or fill_value.ndim:
        return [True] * len(chunks)
    first = chunks.reshape(len(chunks), -1)[:, 0]
    fill = np.asarray(fill_value, dtype=chunks.dtype).reshape(1)
    same = _bits(first) == _bits(fill)
    found: list[bool] = same.reshape(len(chunks), -1).all(axis=1).tolist()
    return found


def _is_object_fill(chunk: Array, fill: object) -> bool:
    kind = type(fill)
    if kind not in (str, bytes):
        # False equals 0 and [0], but is neither: only what is written alike is alike.
        text = repr(fill)
        return all([repr(element) == text for element in chunk.flat])
    return all([type(element) is kind and element == fill for element in chunk.flat])


def _bits(array: Array) -> Array:
    size = array.dtype.itemsize
    if size in (1, 2, 4, 8):
        return array.view(f"u{size}")
    # Wider elements (complex128) as pieces along one more axis.
    contiguous = np.ascontiguousarray(array)
    unit = 8 if size % 8 == 0 else 1
    return contiguous.view(f"u{unit}").reshape((*array.shape, size // unit))
