"""`generated`: a `tf.data.Dataset` of what a Python iterable gives, whose iterators cost little.

`Dataset.from_generator` is a generator's kernel within a ``flat_map``, and hands elements over
through functions that record gradients: each iterator over it takes 15 ms to make, in which several
batches are read. This is the kernel alone, which makes an iterator in 6 ms.

Source: ``tensorflow/core/kernels/data/generator_dataset_op.cc``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf


class _Iterators:
    """What is iterated over at the moment, by number: TensorFlow keeps no Python objects.

    Its threads call this, for one iterator never two at a time.
    """

    def __init__(self, made: Callable[[], Iterator[Any]]) -> None:
        self._made = made
        self._numbers = itertools.count()
        self._current: dict[int, Iterator[Any]] = {}

    def begin(self) -> np.int64:
        """Begins an iterator; gives its number."""
        number = next(self._numbers)
        self._current[number] = self._made()
        return np.int64(number)

    def advance(self, number: np.int64) -> list[Any]:
        """The parts of its next element.

        Raises:
            StopIteration: There is none: the kernel takes that for the end.
        """
        parts: list[Any] = tf.nest.flatten(next(self._current[int(number)]))
        return parts

    def end(self, number: np.int64) -> np.int64:
        """Forgets it: a generator that has not come to its end is closed."""
        self._current.pop(int(number), None)
        return np.int64(0)


def generated(made: Callable[[], Iterator[Any]], signature: Any) -> tf.data.Dataset:
    """A dataset of what iterators give, of which each of its own has one.

    Args:
        made: Makes an iterator over NumPy arrays, or structures of them. Memory that is contiguous
            and begins at a multiple of 64 bytes is shared and must not be changed any more.
        signature: Each element's shape and data type, as `tf.TensorSpec` or a structure of them.
            Whoever gives other elements breaks what comes after.
    """
    iterators = _Iterators(made)
    parts = tf.nest.flatten(signature)
    dtypes, shapes = [part.dtype for part in parts], [part.shape for part in parts]
    number = [tf.TensorSpec((), tf.int64)]

    def function(run: Any, given: list[tf.TensorSpec], results: Any) -> Any:
        def called(*values: tf.Tensor) -> Any:
            return tf.numpy_function(run, values, results)

        return tf.function(called, input_signature=given, autograph=False).get_concrete_function()

    functions = {
        "init_func": function(iterators.begin, [], tf.int64),
        "next_func": function(iterators.advance, number, dtypes),
        "finalize_func": function(iterators.end, number, tf.int64),
    }
    variant = tf.raw_ops.GeneratorDataset(
        init_func_other_args=[],
        next_func_other_args=[],
        finalize_func_other_args=[],
        output_types=dtypes,
        output_shapes=shapes,
        **functions,
    )
    dataset = tf.data.experimental.from_variant(variant, signature)
    # TensorFlow knows them by name only, and forgets those that nobody holds. Whatever is made of
    # a dataset refers to it.
    dataset.asynctensor_functions = functions
    return dataset
