"""Random domains, indexing terms, output maps, expressions and steps; some wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from asynctensor.index_space.transform import IndexTransform

INDEX = st.one_of(st.integers(-4, 9), st.integers(0, 3))
STEPS = st.sampled_from([None, None, 1, 2, 3])


def flags(rank: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.lists(st.booleans(), min_size=rank, max_size=rank))


@st.composite
def domains(draw: Any, prefix: str = "input_", max_rank: int = 3) -> dict[str, Any]:
    """Keyword arguments of a domain; some are wrong on purpose."""
    rank = draw(st.integers(0, max_rank))
    lower = [draw(st.integers(-4, 4)) for _ in range(rank)]
    sizes = [draw(st.sampled_from([1, 2, 3, 5, 8, 0])) for _ in range(rank)]
    arguments: dict[str, Any] = {}
    if draw(st.booleans()):
        arguments[prefix + "inclusive_min"] = lower
    form = draw(st.sampled_from(["exclusive_max", "inclusive_max", "shape", None, "shape"]))
    if form == "shape":
        arguments[prefix + "shape"] = sizes
    elif form is not None:
        arguments[prefix + form] = [lo + size for lo, size in zip(lower, sizes, strict=True)]
    if not arguments:
        arguments[prefix + "rank"] = rank
    for name in ("implicit_lower_bounds", "implicit_upper_bounds"):
        bits = draw(flags(rank))
        if bits is not None:
            arguments[name] = bits
    if draw(st.booleans()):
        arguments[prefix + "labels"] = [draw(st.sampled_from(["abc"[i], ""])) for i in range(rank)]
    return arguments


@st.composite
def arrays(draw: Any) -> Any:
    if draw(st.booleans()):
        shape = draw(st.sampled_from([(), (1,), (2,), (3,), (0,), (2, 1), (1, 2)]))
        count = int(np.prod(shape))
        values = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
        return np.array(values, np.int64).reshape(shape)
    shape = draw(st.sampled_from([(), (2,), (3,), (2, 2)]))
    count = int(np.prod(shape))
    bits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return np.array(bits, np.bool_).reshape(shape)


SLICES = st.builds(slice, st.one_of(st.none(), INDEX), st.one_of(st.none(), INDEX), STEPS)
PLAIN = st.one_of(INDEX, SLICES, SLICES, st.just(slice(None)), st.none(), st.just(...))
TERMS = st.one_of(PLAIN, PLAIN, arrays(), st.sampled_from([True, False, [0, 1], [[0], [1]]]))
KEYS = st.lists(TERMS, max_size=4).map(tuple)


@st.composite
def output_maps(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    kind = draw(st.sampled_from(["constant", "single", "single", "array"]))
    offset = draw(st.integers(-2, 3))
    if kind == "constant" or not shape:
        return {"offset": offset}
    stride = draw(st.sampled_from([1, 1, 2, -1, -2, 0]))
    if kind == "single":
        dim = draw(st.integers(0, len(shape) - 1))
        return {"input_dimension": dim, "offset": offset, "stride": stride}
    sizes = tuple(size if size < 9 and draw(st.booleans()) else 1 for size in shape)
    count = int(np.prod(sizes))
    values = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    array = np.array(values, np.int64).reshape(sizes)
    return {"index_array": array, "offset": offset, "stride": stride}


@st.composite
def dim_steps(draw: Any, count: int) -> tuple[str, Any]:
    moves = ["translate_by", "stride", "transpose", "diagonal", "label"]
    name = draw(st.sampled_from(["[]", "[]", "oindex", "vindex", *moves]))
    if name in ("[]", "oindex", "vindex"):
        # An ellipsis after the first operation makes TensorStore forget dimensions.
        terms = TERMS.filter(lambda term: term is not ...)
        several = st.lists(terms, min_size=count, max_size=count).map(tuple)
        return name, draw(st.one_of(terms, several))
    if name == "label":
        return name, draw(st.permutations("pqrs").map(lambda names: tuple(names[:count])))
    if name == "transpose":
        return name, draw(st.one_of(st.integers(-2, 2), st.permutations(range(count)).map(tuple)))
    return name, draw(INDEX)


def expression(start: Any, selection: Any, chain: list[tuple[str, Any]]) -> Any:
    result = start[selection]
    for name, key in chain:
        if name == "[]":
            result = result[key]
        else:
            part = getattr(result, name)
            result = part if name == "diagonal" else part[key]
    return result


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (ValueError, IndexError, TypeError) as error:
        return error


def family(error: Exception) -> type[Exception]:
    return next(c for c in (IndexError, ValueError, TypeError) if isinstance(error, c))


def crashes_tensorstore(ours: IndexTransform) -> bool:
    """TensorStore 0.1.86 reads outside arrays over domains that are empty by implicit bounds."""
    return 0 in ours.input_shape and any(ours.implicit_lower_bounds + ours.implicit_upper_bounds)


def apply(transform: Any, operation: str, key: Any) -> Any:
    if operation == "[]":
        return transform[key]
    if operation == "T":
        return transform.T
    return getattr(transform, operation)[key]


@st.composite
def steps(draw: Any) -> tuple[str, Any]:
    operation = draw(
        st.sampled_from(
            ["[]", "[]", "oindex", "vindex", "T", "translate_by", "translate_to", "mark"]
        )
    )
    if operation in ("[]", "oindex", "vindex"):
        return operation, draw(KEYS)
    if operation == "mark":
        marks = [True, False, None, slice(True, None), slice(None, True), slice(False, True)]
        return "mark_bounds_implicit", draw(st.sampled_from(marks))
    return operation, draw(INDEX)
