"""A process in which TensorFlow loads the rows of an array; see `loaded.timed`.

It loads by batches, and with one read for each sample: of either way first an epoch (one read after
the other, a batch) to come to speed, and then another one, for which it answers: seconds, samples,
and the sum of all elements that it loaded.
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

from asynctensor import TensorStore
from asynctensor.integrations.tensorflow import to_tf_dataset
from benchmarks.peers import peer_class

BATCH = 64


def one_by_one(array: TensorStore, count: int) -> tf.data.Dataset:
    """The rows in batches, one epoch at each iteration: one read for each."""
    order = np.random.default_rng(5).permutation(count).tolist()

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
    """Loads to come to speed, then an epoch either way, which is timed."""
    array = peer_class("asynctensor")(job["setting"]).open(job["location"])
    ways = to_tf_dataset(array, BATCH, shuffle=True), one_by_one(array, job["count"])
    epoch(ways[0])
    epoch(ways[1].take(1))
    print("ready", flush=True)
    sys.stdin.readline()
    answers = []
    for batches in ways:
        started = time.perf_counter()
        samples, total = epoch(batches)
        answers.append([time.perf_counter() - started, samples, total])
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
