"""Which access `open` gives: what is asked for, as far as the driver has it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import InvalidArgument

ARRAY = {"driver": "array", "array": [1, 2, 3], "dtype": "uint8"}
SPECS: dict[str, dict[str, Any]] = {
    "array": ARRAY,
    "downsample": {
        "driver": "downsample",
        "downsample_factors": [2],
        "downsample_method": "mean",
        "base": ARRAY,
    },
    "stack": {"driver": "stack", "layers": [ARRAY]},
    "cast": {"driver": "cast", "dtype": "float32", "base": ARRAY},
}


def mode(library: Any, spec: str, access: dict[str, bool]) -> str:
    try:
        return str(library.open(SPECS[spec], **access).result().mode)
    except ValueError:
        return "error"


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_asked_for_is_given_or_refused(spec: str) -> None:
    for read, write in itertools.product((None, True, False), repeat=2):
        access = {k: v for k, v in (("read", read), ("write", write)) if v is not None}
        if read or write or not access:
            assert mode(ts, spec, access) == mode(tensorstore, spec, access), access


async def test_what_is_forbidden_is_not_given() -> None:
    assert (await ts.open(ARRAY, write=False)).mode == "r"
    assert (await ts.open(ARRAY, read=False)).mode == "w"
    with pytest.raises(InvalidArgument, match="nothing to do"):
        ts.open(ARRAY, read=False, write=False)
    with pytest.raises(InvalidArgument, match="can be read only"):
        await ts.open(SPECS["downsample"], read=True, write=True)
