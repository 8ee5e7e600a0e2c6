"""A process in which TensorFlow loads the rows of an array; see `loaded.timed`.

It loads an epoch (one read after the other, a batch) to come to speed, and answers for another one:
seconds, samples, and the sum of all elements that it loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

# Before it is loaded: nothing of which instructions it would rather use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from asynctensor.integrations.tensorflow import to_tf_dataset
from benchmarks.peers import peer_class

BATCH = 64


def dataset(job: dict[str, Any]) -> tf.data.Dataset:
    """The rows in batches, one epoch at each iteration: by batches, or one read for each."""
    array = peer_class("asynctensor")(job["setting"]).open(job["location"])
    if job["how"] == "batches":
        return to_tf_dataset(array, BATCH, shuffle=True)
    order = np.random.default_rng(5).permutation(job["count"]).tolist()

    def rows() -> Iterator[Any]:
        for number in order:
            yield array[number].read().result()

    signature = tf.TensorSpec(tuple(array.shape[1:]), tf.uint16)
    return tf.data.Dataset.from_generator(rows, output_signature=signature).batch(BATCH)


def epoch(batches: tf.data.Dataset) -> tuple[int, int]:
    """Loads an epoch; how many samples came, and the sum of their elements."""
    samples = total = 0
    for batch in batches:
        samples += len(batch)
        total += int(batch.numpy().sum(dtype=np.int64))
    return samples, total


def main(job: dict[str, Any]) -> None:
    """Loads to come to speed, then an epoch, which is timed."""
    batches = dataset(job)
    epoch(batches if job["how"] == "batches" else batches.take(1))
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    samples, total = epoch(batches)
    print(json.dumps([time.perf_counter() - started, samples, total]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
