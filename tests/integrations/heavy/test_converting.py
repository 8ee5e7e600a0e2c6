"""`convert`: every library to every other in one call, and places in stores."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import torch
import zarr

import asynctensor as at
from asynctensor.errors import AlreadyExists, IncompatibleType, InvalidArgument, NotFound

LIBRARIES = ["numpy", "torch", "tensorflow", "jax", "arrow"]
VALUES = np.array([[1, 0.5, 2], [8, 1, 4]])
KINDS = {
    "numpy": np.ndarray,
    "torch": torch.Tensor,
    "tensorflow": tf.Tensor,
    "jax": jax.Array,
    "arrow": pa.Tensor,
}
#: Data types, and which of the libraries lack them.
ELEMENTS = {
    "float32": set(),
    "int16": set(),
    "uint8": set(),
    "float16": set(),
    "bool": {"arrow"},
    "complex64": {"arrow"},
    "bfloat16": {"arrow"},
    "float8_e4m3fn": {"arrow"},
    "float8_e5m2": {"arrow"},
    "float64": {"jax"},
    "int64": {"jax"},
    "float8_e8m0fnu": {"arrow", "tensorflow"},
}


@pytest.mark.parametrize("name", ELEMENTS)
async def test_each_to_each(name) -> None:
    element = at.dtype(name).numpy_dtype
    array = VALUES.astype(element)
    spec = {"driver": "zarr3", "kvstore": "memory://a/"}
    for source in LIBRARIES:
        if source in ELEMENTS[name]:
            with pytest.raises(IncompatibleType):
                await at.convert(array, source)
            continue
        given = await at.convert(array, source)
        assert isinstance(given, KINDS[source])
        for target in set(LIBRARIES) - ELEMENTS[name]:
            back = await at.convert(await at.convert(given, target), "numpy")
            assert back.dtype == element, (source, target)
            assert (back == array).all(), (source, target)
        stored = await at.convert(given, spec)
        assert (stored.dtype.name, stored.shape) == (name, array.shape)
        again = await at.convert(stored, source)
        assert isinstance(again, KINDS[source])
        assert (await at.convert(again, "numpy") == array).all()


def test_memory_is_shared() -> None:
    array = at.convert(at.array(np.zeros((4, 64), "float32"), copy=True), "numpy").result()
    for library in LIBRARIES:
        made = at.convert(array, library, copy=False).result()
        assert np.shares_memory(at.convert(made, "numpy").result(), array), library
        copied = at.convert(array, library, copy=True).result()
        assert not np.shares_memory(at.convert(copied, "numpy").result(), array), library
    for library in ("torch", "tensorflow", "jax"):
        with pytest.raises(ValueError, match="let it be copied"):
            at.convert(array[:, ::-1], library, copy=False)
        made = at.convert(array[:, ::-1], library).result()
        assert (at.convert(made, "numpy").result() == array[:, ::-1]).all()


def test_other_arrays() -> None:
    variable = tf.Variable([1.5, 2])
    assert at.convert(variable, "numpy").result().tolist() == [1.5, 2]
    parameter = torch.nn.Parameter(torch.ones(2))
    assert at.convert(parameter, "jax").result().tolist() == [1, 1]
    stored = zarr.create_array({}, shape=(3,), dtype="int16", fill_value=7)
    assert at.convert(stored, "torch").result().tolist() == [7, 7, 7]
    assert at.convert([1, 2], "arrow").result().to_numpy().tolist() == [1, 2]
    assert at.convert(jnp.ones(2), "memory://a/|n5:").result().read().result().tolist() == [1, 1]


async def test_places(tmp_path) -> None:
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"}
    layout = at.ChunkLayout(chunk_shape=[1, 3])
    made = await at.convert(torch.tensor(VALUES), spec, chunk_layout=layout)
    assert made.chunk_layout.write_chunk.shape == (1, 3)
    url = f"file://{tmp_path}/a/|zarr3:"
    for source in (url, at.Spec(spec), spec, tmp_path / "a"):
        assert (await at.convert(source, "torch")).tolist() == VALUES.tolist()
    # zarr-python's own, and back.
    theirs = zarr.open_array(tmp_path / "a", mode="r")
    copied = await at.convert(theirs, tmp_path / "b")
    assert (zarr.open_array(tmp_path / "b", mode="r")[...] == VALUES).all()
    assert copied.dtype == at.float64
    # From a store to a store, and into an open array, or a part of it.
    labelled = at.array(VALUES)[at.d[:].label["y", "x"]]
    named = await at.convert(labelled, f"file://{tmp_path}/c/|zarr3:")
    assert (named.domain.labels, named.shape) == (("y", "x"), (2, 3))
    assert await at.convert(VALUES[0], made[1]) is not None
    assert (await at.convert(made, "numpy")).tolist() == [[1, 0.5, 2]] * 2
    with pytest.raises(AlreadyExists, match="an array here already"):
        await at.convert(VALUES, url)
    await at.convert(np.ones(2), url, delete_existing=True)
    assert (await at.convert(url, "numpy")).tolist() == [1, 1]


async def test_bad_input(tmp_path) -> None:
    with pytest.raises(InvalidArgument, match="convert to what"):
        at.convert(VALUES, "pytorch")
    with pytest.raises(InvalidArgument, match="convert to what"):
        at.convert(VALUES, 5)
    with pytest.raises(InvalidArgument, match="takes copy="):
        at.convert(VALUES, "torch", chunk_layout=None)
    with pytest.raises(IncompatibleType, match="expected an array of some library"):
        at.convert(object(), "torch")
    with pytest.raises(IncompatibleType, match="PyTorch has no data type"):
        at.convert(VALUES.astype(ml_dtypes.float8_e3m4), "torch")
    with pytest.raises(NotFound):
        await at.convert(tmp_path / "nothing", "torch")
    made = await at.convert(VALUES, "memory://a/|zarr3:")
    with pytest.raises(InvalidArgument, match="takes no options"):
        at.convert(VALUES, made, chunk_layout=None)
    with pytest.raises(InvalidArgument):
        await at.convert(VALUES[:, :2], made)
    with pytest.raises(IncompatibleType, match="conversion"):
        await at.convert(VALUES.astype("complex64"), made)


def test_no_library_is_loaded_that_was_not_asked_for() -> None:
    code = (
        "import sys, numpy as np, asynctensor as at;"
        "made = at.convert(np.ones(2), 'memory://a/|zarr3:').result();"
        "at.convert(made, 'torch').result();"
        "assert 'torch' in sys.modules;"
        "assert not {'tensorflow', 'jax', 'pyarrow', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
