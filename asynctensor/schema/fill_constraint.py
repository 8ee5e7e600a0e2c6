"""The fill value as a constraint: reading, comparing and converting arrays that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.errors import Error, IncompatibleType, InvalidArgument
from asynctensor.schema import data_type
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_value import fill_value_from_json, fill_value_to_json
from asynctensor.schema.json_value import check_document

Fill = npt.NDArray[Any]
#: Data types of single bytes: no number means one.
_RAW = ("byte", "char")
#: Kinds of NumPy types that no complex number is cast to; those of ml_dtypes are of kind V.
_REAL = "iufV"


def fill_from_array(value: npt.ArrayLike, wanted: dtype | None) -> Fill:
    """An array-like as a fill value, read-only.

    Args:
        value: Shape: any that broadcasts to the domain.
        wanted: Its data type; None: the array's own.

    Raises:
        InvalidArgument: A value cannot be represented, or there is no such data type.
        IncompatibleType: It is no array-like, or its elements are of another kind.
    """
    as_objects = wanted is not None and wanted.numpy_dtype.hasobject
    try:
        array = np.asarray(value, object if as_objects else None)
    except (ValueError, TypeError) as error:
        raise IncompatibleType(f"Expected an array-like, but received {value!r:.80}") from error
    if wanted is None:
        dtype(array.dtype)
        return _frozen(array)
    return _frozen(_checked_objects(array, wanted)) if as_objects else converted_fill(array, wanted)


#: What elements of these data types are; those of ``json`` are what JSON can say.
_TEXTS: dict[str, type] = {"string": bytes, "ustring": str}


def _checked_objects(fill: Fill, wanted: dtype) -> Fill:
    """`fill`, whose elements are objects, if they are of the data type.

    Raises:
        IncompatibleType: One is not.
    """
    kind = _TEXTS.get(wanted.name)
    for each in fill.flat:
        if (not _is_json(each)) if kind is None else (not isinstance(each, kind)):
            raise IncompatibleType(f"{each!r:.80} cannot be represented as {wanted.name}")
    return fill


def _is_json(value: Any) -> bool:
    try:
        check_document(value)
    except Error:
        return False
    return True


def converted_fill(fill: Fill, wanted: dtype) -> Fill:
    """`fill` with another data type.

    Raises:
        InvalidArgument: An element has no equal there (rounding of floats apart).
        IncompatibleType: The elements are of another kind: a complex number is no real one.
    """
    target = wanted.numpy_dtype
    if target.hasobject:
        elements = fill.astype(object)
        if wanted.name == "string":
            elements = _encoded(elements)
        return _frozen(_checked_objects(elements, wanted))
    if fill.dtype == target:
        return _frozen(fill)
    if fill.dtype == object:
        return fill_from_json(fill.tolist(), wanted)
    if wanted.name in _RAW and (fill.dtype.kind not in "SV" or fill.dtype.itemsize != 1):
        raise InvalidArgument(_no_equal(fill, wanted))
    if fill.dtype.kind == "c" and target.kind in _REAL:
        raise IncompatibleType(_no_equal(fill, wanted))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = fill.astype(target)
            # Only exact types can be checked by comparing: 0.1 has no equal in float32.
            exact = data_type.dtype(target).name.startswith(("int", "uint", "bool"))
            same = not exact or bool(np.all((found.astype(fill.dtype) == fill) & (found == fill)))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidArgument(_no_equal(fill, wanted)) from error
    if not same:
        raise InvalidArgument(_no_equal(fill, wanted))
    return _frozen(found)


def fill_from_json(json: Any, wanted: dtype | None) -> Fill:
    """The fill value that nested lists of JSON values say.

    Args:
        json: A value of the data type, or nested lists of equal lengths of such values.
        wanted: The data type; None: it is not known yet, and the values stay JSON.

    Raises:
        InvalidArgument: Lists of different lengths, or a value that is none of the data type.
    """
    if wanted is None or wanted.numpy_dtype.hasobject:
        leaves, shape = _flattened(json, lambda value: not isinstance(value, list))
        found = _object_array(leaves, shape)
        if wanted is None or wanted.name not in _TEXTS:
            return found
        for leaf in leaves:
            if not isinstance(leaf, (str, _TEXTS[wanted.name])):
                raise InvalidArgument(f"{leaf!r:.80} cannot be represented as {wanted.name}")
        return _frozen(_encoded(found)) if wanted.name == "string" else found
    target = wanted.numpy_dtype
    # One complex number is a list of two, one raw value a list of its bytes.
    length = {"complex64": 2, "complex128": 2, "char": 1, "byte": 1}.get(wanted.name)

    def is_leaf(value: Any) -> bool:
        return not isinstance(value, list) or (_is_flat(value) and len(value) == length)

    leaves, shape = _flattened(json, is_leaf)
    found = np.empty(len(leaves), target)
    for position, leaf in enumerate(leaves):
        found[position] = fill_value_from_json(target, leaf)
    return _frozen(found.reshape(shape))


def fill_to_json(fill: Fill) -> Any:
    """Nested lists of JSON values; TensorStore's form, with floats that JSON lacks as words."""
    if fill.dtype == object:
        texts = _decoded(fill)
        return texts.tolist() if texts.ndim else texts.item()
    if fill.ndim == 0:
        return fill_value_to_json(fill)
    return [fill_to_json(np.asarray(row, fill.dtype)) for row in fill]


def unbroadcast(fill: Fill) -> Fill:
    """`fill` without leading dimensions of size 1, which broadcasting adds anyway."""
    while fill.ndim and fill.shape[0] == 1:
        fill = fill[0] if fill.ndim > 1 else fill.reshape(())
    return fill


def same_fill(a: Fill, b: Fill) -> bool:
    """Whether two fill values mean the same; NaN equals NaN, and 5 equals 5 in any data type."""
    if a.shape != b.shape:
        return False
    if a.dtype == b.dtype and a.dtype != object and a.tobytes() == b.tobytes():
        return True
    return bool(np.all(np.asarray(a == b)))


def check_broadcast(fill: Fill, shape: tuple[int, ...], what: str) -> None:
    """Checks that a fill value broadcasts to the shape of a domain.

    Raises:
        InvalidArgument: It does not; the text begins with `what` and has both shapes.
    """
    sizes = zip(reversed(fill.shape), reversed(shape), strict=False)
    if fill.ndim > len(shape) or any(size not in (1, full) for size, full in sizes):
        raise InvalidArgument(
            f"{what}: Cannot broadcast array of shape {_braces(fill.shape)} "
            f"to target shape {_braces(shape)}"
        )


def _braces(shape: tuple[int, ...]) -> str:
    return "{" + ", ".join(map(str, shape)) + "}"


def _no_equal(fill: Fill, wanted: dtype) -> str:
    text = np.array2string(fill, threshold=8)
    return f"{text} cannot be represented as {wanted.name} without changing its value"


def _frozen(array: Fill) -> Fill:
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def _encoded(fill: Fill) -> Fill:
    """`fill` with UTF-8 in place of text: what ``string`` holds."""
    texts = [each.encode() if isinstance(each, str) else each for each in fill.flat]
    return _object_array(texts, fill.shape)


def _decoded(fill: Fill) -> Fill:
    """The reverse; bytes that are no UTF-8, for which JSON has no word, stay."""
    return _object_array([_text(each) for each in fill.flat], fill.shape)


def _text(element: Any) -> Any:
    try:
        return element.decode() if isinstance(element, bytes) else element
    except UnicodeDecodeError:
        return element


def _object_array(leaves: list[Any], shape: tuple[int, ...]) -> Fill:
    found = np.empty(len(leaves), object)
    for position, leaf in enumerate(leaves):
        found[position] = leaf
    return _frozen(found.reshape(shape))


def _is_flat(value: list[Any]) -> bool:
    return not any(isinstance(part, list) for part in value)


def _flattened(json: Any, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], tuple[int, ...]]:
    if is_leaf(json):
        return [json], ()
    leaves: list[Any] = []
    shape: tuple[int, ...] | None = None
    for item in json:
        inner, inner_shape = _flattened(item, is_leaf)
        if shape is not None and inner_shape != shape:
            raise InvalidArgument(
                f"Expected nested arrays of equal lengths, but received shapes "
                f"{_braces(shape)} and {_braces(inner_shape)} side by side"
            )
        shape = inner_shape
        leaves += inner
    return leaves, (len(json), *(shape or ()))
