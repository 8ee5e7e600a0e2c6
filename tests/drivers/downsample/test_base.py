"""`Spec.base` of a view of cells: the part of the base that is in them, as TensorStore gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts

SPEC = {
    "driver": "downsample",
    "downsample_factors": [2, 5],
    "downsample_method": "mean",
    "base": {
        "driver": "zarr3",
        "kvstore": "memory://a/",
        "schema": {"dtype": "uint8", "domain": {"inclusive_min": [0, 0], "shape": [101, 203]}},
    },
}


@pytest.mark.parametrize(
    "cells",
    [
        (slice(30, 40), slice(20, 25)),
        (slice(0, 51), slice(0, 41)),
        (slice(50, 51), slice(40, 41)),
        (slice(7, 8), slice(0, 1)),
    ],
)
def test_a_box_of_cells(cells: tuple[slice, slice]) -> None:
    found: list[Any] = [lib.Spec(SPEC)[cells].base.to_json() for lib in (tensorstore, ts)]
    assert found[0] == found[1]
    (first,) = [ts.Spec(SPEC)[cells].base]
    assert first is not None
    domain = first.domain
    assert domain is not None
    assert domain.inclusive_min == tuple(
        part.start * factor for part, factor in zip(cells, (2, 5), strict=True)
    )


def test_any_other_view_has_the_whole_base() -> None:
    spec, whole = ts.Spec(SPEC), ts.Spec(SPEC["base"])
    assert spec[::2].base == spec[3].base == whole


VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "all": lambda _, spec: spec,
    "transposed": lambda _, spec: spec.T,
    "moved": lambda lib, spec: spec[lib.d[0].translate_by[3]],
    "moved back": lambda lib, spec: spec[lib.d[0].translate_by[-3]],
    "one more dimension": lambda lib, spec: spec[lib.newaxis],
    "labelled": lambda lib, spec: spec[lib.d[0].label["q"]],
    "resizable": lambda lib, spec: spec[lib.d[:].mark_bounds_implicit[True]],
    "part of it transposed": lambda _, spec: spec.T[2:4],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("method", ["mean", "stride"])
def test_views_of_all_cells_of_a_box(name: str, method: str) -> None:
    spec = {**SPEC, "downsample_method": method}
    found = [VIEWS[name](lib, lib.Spec(spec)).base.to_json() for lib in (tensorstore, ts)]
    assert found[0] == found[1]


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[3], np.s_[:, ::-1], np.s_[[1, 5, 2]]])
def test_any_view_of_single_elements(view: Any) -> None:
    spec = {**SPEC, "downsample_method": "stride"}
    found = [lib.Spec(spec)[view].base.to_json() for lib in (tensorstore, ts)]
    assert found[0] == found[1]


def test_the_base_of_a_reversed_view_is_reversed() -> None:
    # TensorStore's has the first elements only.
    base = ts.Spec(SPEC)[:, ::-1][:, -3:-1].base
    assert base is not None
    assert base.domain is not None
    assert (base.domain[1].inclusive_min, base.domain[1].exclusive_max) == (-19, -9)
    (_, last) = base.transform.output
    assert (last.offset, last.stride, last.input_dimension) == (0, -1, 1)
