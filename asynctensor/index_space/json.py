"""Domains and transforms as JSON, with TensorStore's members.

A bound is an integer or an infinity (``"-inf"``, ``"+inf"``), in brackets if it is implicit:
``[[0], 5, ["+inf"]]``. (TensorStore's JSON schemas ``IndexDomain`` and ``IndexTransform``.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN, inf
from asynctensor.index_space.output_map import IndexArray, OutputIndexMap
from asynctensor.index_space.representation import TransformRep
from asynctensor.near_names import extra_members

_UPPERS = ("exclusive_max", "inclusive_max", "shape")


def domain_to_json(rep: TransformRep, prefix: str = "") -> dict[str, Any]:
    """The members that say a domain.

    Args:
        rep: Whose input domain is meant.
        prefix: Put before each member, ``"input_"`` in a transform.
    """
    members: dict[str, Any] = {}
    lower = [
        _bound_to_json("-inf" if lo == UNBOUNDED_MIN else lo, implicit)
        for lo, implicit in zip(rep.input_inclusive_min, rep.implicit_lower_bounds, strict=True)
    ]
    upper = [
        _bound_to_json("+inf" if hi == UNBOUNDED_MAX else hi, implicit)
        for hi, implicit in zip(rep.input_exclusive_max, rep.implicit_upper_bounds, strict=True)
    ]
    if any(upper_bound != ["+inf"] for upper_bound in upper):
        members[prefix + "exclusive_max"] = upper
    if any(lower_bound != ["-inf"] for lower_bound in lower):
        members[prefix + "inclusive_min"] = lower
    if any(rep.input_labels):
        members[prefix + "labels"] = list(rep.input_labels)
    return members or {prefix + "rank": rep.input_rank}


#: From how many elements on `summary` shows the ends only, and how many at each end: NumPy's.
_SUMMARIZED_FROM, _ENDS = 1000, 3


def transform_to_json(rep: TransformRep, brief: bool = False) -> dict[str, Any]:
    """The JSON of a transform; identity maps are left out.

    Args:
        rep: The transform.
        brief: For reading only: of a long index array only the ends, with ``...`` between them.
    """
    members = domain_to_json(rep, "input_")
    identity = tuple(OutputIndexMap.single(dim, 0, 1) for dim in range(rep.input_rank))
    if rep.maps != identity:
        members["output"] = [_map_to_json(item, brief) for item in rep.maps]
    return members


def summary(array: IndexArray) -> list[Any]:
    """The elements of an array, of long ones the first and last of each dimension."""
    shown: list[Any] = array.tolist() if array.size <= _SUMMARIZED_FROM else _ends(array)
    return shown


def _ends(array: IndexArray) -> Any:
    if not array.ndim:
        return int(array)
    if len(array) <= 2 * _ENDS:
        return [_ends(part) for part in array]
    return [*map(_ends, array[:_ENDS]), ..., *map(_ends, array[-_ENDS:])]


def _bound_to_json(bound: int | str, implicit: bool) -> Any:
    return [bound] if implicit else bound


def _map_to_json(item: OutputIndexMap, brief: bool) -> dict[str, Any]:
    # In the order of their names, as all JSON of specs is.
    members: dict[str, Any] = {}
    array = item.index_array
    if array is not None:
        members["index_array"] = summary(array) if brief else array.tolist()
        low, high = item.range
        if array.size and not (low <= int(array.min()) and int(array.max()) < high):
            members["index_array_bounds"] = [
                "-inf" if low == UNBOUNDED_MIN else low,
                "+inf" if high == UNBOUNDED_MAX else high - 1,
            ]
    if item.input_dimension is not None:
        members["input_dimension"] = item.input_dimension
    if item.offset:
        members["offset"] = item.offset
    if item.stride is not None and item.stride != 1:
        members["stride"] = item.stride
    return members


def parse_domain(json: object, prefix: str = "", what: str = "domain") -> dict[str, Any]:
    """Keyword arguments for the constructor of a domain.

    Args:
        json: The JSON of a domain, or of a transform without its ``output``.
        prefix: What stands before each member.
        what: Named in errors.

    Returns:
        ``rank``, ``inclusive_min``, ``exclusive_max`` (or another upper bound), the implicit
        flags and ``labels``, as far as they are given.

    Raises:
        InvalidArgument: If a member is missing, unknown, or no bound.
    """
    where = f"Error parsing index {what} from JSON"
    if not isinstance(json, Mapping):
        raise InvalidArgument(f"{where}: Expected object, but received: {json!r}")
    known = {prefix + n for n in ("rank", "inclusive_min", "labels", *_UPPERS)}
    extra = [str(name) for name in json if name not in known]
    if extra:
        raise InvalidArgument(f"{where}: {extra_members(extra, known)}")
    if not json:
        listed = ", ".join(f'"{name}"' for name in sorted(known))
        raise InvalidArgument(f"{where}: At least one of {listed} members must be specified")
    members = {str(name)[len(prefix) :]: value for name, value in json.items()}
    if sum(name in members for name in _UPPERS) > 1:
        listed = ", ".join(f'"{prefix}{name}"' for name in _UPPERS)
        error = InvalidArgument(f"{where}: At most one of {listed} members is allowed")
        error.contradicting = tuple([n for n in json if n[len(prefix) :] in _UPPERS][:2])
        raise error
    parsed: dict[str, Any] = {}
    for name, value in members.items():
        parse = _PARSERS.get(name)
        member = f'{where}: Error parsing object member "{prefix}{name}"'
        if name == "rank":
            parsed["rank"] = _integer(value, member)
            continue
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise InvalidArgument(f"{member}: Expected array, but received: {value!r}")
        if parse is None:
            parsed["labels"] = [_label(item, _at(member, i)) for i, item in enumerate(value)]
            continue
        infinity, stands_for, flags = parse
        bounds = [
            _bound(item, infinity, stands_for, _at(member, i)) for i, item in enumerate(value)
        ]
        parsed[name] = [bound for bound, _ in bounds]
        parsed[flags] = [implicit for _, implicit in bounds]
    return parsed


#: Member -> its infinity, what that stands for, and the argument with its implicit flags.
_PARSERS: dict[str, tuple[str, int, str]] = {
    "inclusive_min": ("-inf", UNBOUNDED_MIN, "implicit_lower_bounds"),
    "exclusive_max": ("+inf", UNBOUNDED_MAX, "implicit_upper_bounds"),
    "inclusive_max": ("+inf", inf, "implicit_upper_bounds"),
    "shape": ("+inf", UNBOUNDED_MAX, "implicit_upper_bounds"),
}


def _at(where: str, position: int) -> str:
    return f"{where}: Error parsing value at position {position}"


def _member(json: Mapping[Any, Any], name: str, default: int, where: str) -> int:
    return _integer(json.get(name, default), f'{where}: Error parsing object member "{name}"')


def _label(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{where}: Expected string, but received: {value!r}")
    return value


def _bound(value: object, infinity: str, stands_for: int, where: str) -> tuple[int, bool]:
    implicit = isinstance(value, list)
    if isinstance(value, list):
        if len(value) != 1:
            raise InvalidArgument(
                f"{where}: Expected array of one implicit bound, but received: {value!r}"
            )
        value, where = value[0], _at(where, 0)
    if value == infinity:
        return stands_for, implicit
    return _integer(value, where, f' or "{infinity}"'), implicit


def _integer(value: object, where: str, otherwise: str = "") -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        # TensorStore takes integers as strings, since JavaScript has none of 64 bits.
        with suppress(ValueError):
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise InvalidArgument(
        f"{where}: Expected 64-bit signed integer{otherwise}, but received: {value!r}"
    )


def parse_output(json: object) -> list[OutputIndexMap]:
    """The output maps of a transform's JSON.

    Raises:
        InvalidArgument: If a member is unknown, contradicts another or has a wrong type.
    """
    where = 'Error parsing index transform from JSON: Error parsing object member "output"'
    if not isinstance(json, Sequence) or isinstance(json, str):
        raise InvalidArgument(f"{where}: Expected array, but received: {json!r}")
    return [_map_at(i, item, _at(where, i)) for i, item in enumerate(json)]


def _map_at(position: int, json: object, where: str) -> OutputIndexMap:
    try:
        return _parse_map(json, where)
    except InvalidArgument as error:
        error.contradicting = tuple(f"output[{position}].{n}" for n in error.contradicting)
        raise


def _parse_map(json: object, where: str) -> OutputIndexMap:
    if not isinstance(json, Mapping):
        raise InvalidArgument(f"{where}: Expected object, but received: {json!r}")
    known = {"offset", "stride", "input_dimension", "index_array", "index_array_bounds"}
    extra = [str(name) for name in json if name not in known]
    if extra:
        raise InvalidArgument(f"{where}: {extra_members(extra, known)}")
    if "input_dimension" in json and "index_array" in json:
        error = InvalidArgument(
            f'{where}: At most one of "input_dimension", "index_array" members is allowed'
        )
        error.contradicting = ("input_dimension", "index_array")
        raise error
    offset = _member(json, "offset", 0, where)
    if "index_array_bounds" in json and "index_array" not in json:
        raise InvalidArgument(f'{where}: "index_array_bounds" is only valid with "index_array"')
    if "stride" in json and "input_dimension" not in json and "index_array" not in json:
        raise InvalidArgument(
            f'{where}: Either "input_dimension" or "index_array" must be specified in '
            'conjunction with "stride"'
        )
    stride = _member(json, "stride", 1, where)
    if "input_dimension" in json:
        dim = _member(json, "input_dimension", 0, where)
        return OutputIndexMap(input_dimension=dim, offset=offset, stride=stride)
    if "index_array" not in json:
        return OutputIndexMap.constant(offset)
    place = f'{where}: Error parsing object member "index_array_bounds"'
    bounds = json.get("index_array_bounds", ["-inf", "+inf"])
    if not isinstance(bounds, Sequence) or isinstance(bounds, str) or len(bounds) != 2:
        raise InvalidArgument(f"{place}: Expected [min, max], but received: {bounds!r}")
    low, _ = _bound(bounds[0], "-inf", UNBOUNDED_MIN, _at(place, 0))
    high, _ = _bound(bounds[1], "+inf", inf, _at(place, 1))
    return OutputIndexMap(
        index_array=_parse_array(json["index_array"], where),
        offset=offset,
        stride=stride,
        index_range=Dim(inclusive_min=low, inclusive_max=high),
    )


def _has_booleans(json: object) -> bool:
    # NumPy takes them for integers, where they stand among such.
    return any(map(_has_booleans, json)) if isinstance(json, list) else isinstance(json, bool)


def _parse_array(json: object, where: str) -> np.ndarray[Any, Any]:
    place = f'{where}: Error parsing object member "index_array"'
    try:
        array = np.asarray(json)
    except ValueError:
        shape = "an array of integers in which all rows are of one length"
        raise InvalidArgument(f"{place}: Expected {shape}, but received: {json!r:.60}") from None
    if array.size == 0 and array.dtype.kind != "O":
        return array.astype(np.int64)
    if array.dtype.kind not in "iu" or _has_booleans(json):
        raise InvalidArgument(f"{place}: Expected array of integers, but received: {json!r:.60}")
    return array
