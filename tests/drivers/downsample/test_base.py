"""`Spec.base` of a view of cells: the part of the base that is in them, as TensorStore gives it."""

from __future__ import annotations

from typing import Any

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
    spec = ts.Spec(SPEC)
    whole = spec.base
    assert whole is not None
    assert spec[::2].base == spec[3].base == whole
