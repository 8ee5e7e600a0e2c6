"""`generated`: the kernel of `Dataset.from_generator`, by itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from asynctensor.chunked.scratch import new_output
from asynctensor.integrations.tensorflow_generator import generated

NUMBER = tf.TensorSpec((), tf.int64)


def numbers(dataset) -> list[int]:
    return [int(each) for each in dataset]


def test_each_iterator_has_one_of_its_own() -> None:
    begun = []

    def count() -> Iterator[np.int64]:
        begun.append(len(begun))
        yield from np.arange(4)

    dataset = generated(count, NUMBER)
    assert dataset.element_spec == NUMBER
    assert begun == []
    assert numbers(dataset) == numbers(dataset) == [0, 1, 2, 3]
    assert numbers(dataset.repeat(3).map(lambda x: x + 1)) == [1, 2, 3, 4] * 3
    first, second = iter(dataset), iter(dataset)
    assert [int(next(each)) for each in (first, second, first, second, first)] == [0, 0, 1, 1, 2]
    pairs = tf.data.Dataset.zip((dataset, dataset))
    assert [(int(a), int(b)) for a, b in pairs] == [(i, i) for i in range(4)]
    assert begun == list(range(9))


def test_an_iterator_that_is_left_closes_its_generator() -> None:
    closed = threading.Event()

    def forever() -> Iterator[np.int64]:
        try:
            while True:
                yield np.int64(1)
        finally:
            closed.set()

    # The first dataset is gone: what was made of it keeps what it needs.
    dataset = generated(forever, NUMBER).batch(2)
    gc.collect()
    batches = iter(dataset)
    assert next(batches).numpy().tolist() == [1, 1]
    assert not closed.is_set()
    del batches
    gc.collect()
    assert closed.wait(60)


def test_structures_and_memory() -> None:
    halves = np.array([1.5, 2.5], ml_dtypes.bfloat16)
    shared = new_output((3, 4), np.dtype("float32"))
    shared[...] = np.arange(12).reshape(3, 4)
    # Aligned to less, and with strides: both are copied.
    odd = np.arange(9, dtype="uint8")[1:]
    parts = {"z": shared, "b": (halves, odd), "a": np.array([b"x", b"\0y"], object), "t": shared.T}
    signature = {
        "z": tf.TensorSpec((None, 4), tf.float32),
        "b": (tf.TensorSpec((2,), tf.bfloat16), tf.TensorSpec((8,), tf.uint8)),
        "a": tf.TensorSpec((None,), tf.string),
        "t": tf.TensorSpec((4, 3), tf.float32),
    }
    dataset = generated(lambda: iter([parts]), signature)
    assert dataset.element_spec == signature
    (found,) = dataset
    assert found["b"][0].numpy().tolist() == [1.5, 2.5]
    assert found["b"][1].numpy().tolist() == list(range(1, 9))
    assert found["a"].numpy().tolist() == [b"x", b"\0y"]
    assert (found["t"].numpy() == shared.T).all()
    assert np.shares_memory(np.asarray(memoryview(found["z"])), shared)


def test_what_the_iterator_raises() -> None:
    def fails() -> Iterator[np.int64]:
        yield np.int64(1)
        raise LookupError("nothing more of it")

    dataset = generated(fails, NUMBER)
    batches = iter(dataset)
    assert int(next(batches)) == 1
    with pytest.raises(tf.errors.OpError, match="nothing more of it"):
        next(batches)

    def cannot() -> Iterator[np.int64]:
        raise LookupError("not even that")

    with pytest.raises(tf.errors.OpError, match="not even that"):
        next(iter(generated(cannot, NUMBER)))
