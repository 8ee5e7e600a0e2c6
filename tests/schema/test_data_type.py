"""Data types, with tensorstore as the oracle."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema import data_type

CONSTANTS = {name: getattr(ts, name) for name in dir(ts) if isinstance(getattr(ts, name), ts.dtype)}


def test_there_are_tensorstores_constants_and_no_others() -> None:
    ours = {k: v for k, v in vars(data_type).items() if isinstance(v, data_type.dtype)}
    assert ours.keys() == CONSTANTS.keys()
    assert len(ours) == 30


@pytest.mark.parametrize("name", CONSTANTS)
def test_each_is_what_tensorstores_is(name: str) -> None:
    ours, theirs = getattr(data_type, name), CONSTANTS[name]
    assert (ours.name, ours.to_json(), repr(ours)) == (theirs.name, theirs.to_json(), repr(theirs))
    assert ours.type is theirs.type
    assert ours.numpy_dtype.type is theirs.numpy_dtype.type
    assert data_type.dtype(name) == ours == data_type.dtype(ours)
    assert hash(data_type.dtype(name)) == hash(ours)
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert copy.deepcopy(ours) == ours


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        (int, "int64"), (float, "float64"), (bool, "bool"), (complex, "complex128"),
        (str, "ustring"), (bytes, "string"), (np.int8, "int8"), (np.dtype(">u2"), "uint16"),
        (np.dtype("S3"), "char"), (np.dtype("V1"), "byte"), (ml_dtypes.bfloat16, "bfloat16"),
        (np.dtype(ml_dtypes.int4), "int4"),
    ],
)  # fmt: skip
def test_spellings(spelling: object, name: str) -> None:
    assert data_type.dtype(spelling).name == name
    assert data_type.dtype(name) == spelling
    assert ts.dtype(spelling).name == name


@pytest.mark.parametrize("spelling", ["<u2", "u2", "object", "foo", "S", np.dtype(object)])
def test_what_is_no_data_type(spelling: object) -> None:
    with pytest.raises(InvalidArgument, match="No TensorStore data type"):
        data_type.dtype(spelling)
    assert data_type.uint16 != spelling


@pytest.mark.parametrize("spelling", [None, 3, [1, 2]])
def test_what_names_none_at_all(spelling: object) -> None:
    with pytest.raises(IncompatibleType):
        data_type.dtype(spelling)


def test_calling_one_converts() -> None:
    assert data_type.bfloat16(3.5) == ts.bfloat16(3.5)
    assert type(data_type.uint8(3)) is np.uint8
    assert data_type.json({"a": 1}) == {"a": 1}
    assert data_type.ustring("q") == "q"


def test_importing_them_does_not_load_ml_dtypes() -> None:
    code = (
        "import sys, asynctensor.schema.data_type as d; d.bfloat16; "
        "print('ml_dtypes' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
