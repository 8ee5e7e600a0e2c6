"""`tf.data` by batches that are one read."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import asynctensor as at
from asynctensor.errors import DataLoss, IncompatibleType
from asynctensor.integrations.tensorflow import Loader, Samples, to_tf_dataset

COUNT = 40


@pytest.fixture
def arrays(tmp_path) -> dict[str, at.TensorStore]:
    found = {}
    for name, dtype, shape in [("image", "float32", [COUNT, 4, 5]), ("label", "int64", [COUNT])]:
        layout = at.ChunkLayout(chunk_shape=[4, 4, 5][: len(shape)])
        spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/{name}/"}
        store = at.open(spec, create=True, dtype=dtype, shape=shape, chunk_layout=layout).result()
        numbers = np.arange(COUNT).reshape(-1, *[1] * (len(shape) - 1)).astype(dtype)
        store.write(np.broadcast_to(numbers, shape)).result()
        found[name] = store
    return found


def labels(dataset) -> list[int]:
    found = []
    for batch in dataset:
        numbers = batch["label"].numpy()
        assert (batch["image"].numpy() == numbers[:, None, None]).all()
        found += numbers.tolist()
    return found


def test_epochs(arrays) -> None:
    dataset = to_tf_dataset(arrays, 16, shuffle=True, seed=3)
    assert dataset.element_spec["image"] == tf.TensorSpec((None, 4, 5), tf.float32)
    assert dataset.cardinality() == 3
    first, second = labels(dataset), labels(dataset)
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second
    whole = to_tf_dataset(arrays, 16, drop_last=True)
    assert whole.element_spec["label"].shape == (16,)
    assert labels(whole) == list(range(32))


def test_pipelines(arrays) -> None:
    dataset = to_tf_dataset(arrays["label"], 8).map(lambda batch: batch * 2).prefetch(2)
    assert [int(x) for x in dataset.unbatch()] == list(range(0, 2 * COUNT, 2))
    crops = to_tf_dataset(Samples.crops(arrays["image"], {1: 2}, 10), 4)
    assert [batch.shape[0] for batch in crops] == [4, 4, 2]


def test_keras_learns_from_it(arrays) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    dataset = to_tf_dataset(arrays, 8, shuffle=True).map(lambda x: (x["image"] / 40, x["label"]))
    model.fit(dataset, epochs=2, verbose=0, shuffle=False)


def test_the_state_of_its_loader(arrays) -> None:
    first = Loader(arrays, 8, shuffle=True)
    batches = iter(to_tf_dataset(first))
    begun = labels([next(batches), next(batches)])
    second = Loader(arrays, 4, shuffle=True)
    second.load_state_dict(first.state_dict())
    assert begun + labels(to_tf_dataset(second)) == labels(Loader(arrays, 8, shuffle=True))


def test_bad_input(arrays, tmp_path) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        to_tf_dataset(arrays)
    with pytest.raises(TypeError, match="already"):
        to_tf_dataset(Loader(arrays, 2), 2)
    times = at.open(
        {"driver": "zarr", "kvstore": "memory://", "metadata": {"dtype": "<M8[s]"}},
        create=True, shape=[3],
    ).result()  # fmt: skip
    with pytest.raises(IncompatibleType, match="TensorFlow has no data type"):
        to_tf_dataset(times, 2)
    (tmp_path / "image/c/2/0/0").write_bytes(b"?")
    with pytest.raises(tf.errors.OpError, match=r"DATA_LOSS.*c/2/0/0"):
        labels(to_tf_dataset(arrays, 4))
    with pytest.raises(DataLoss):
        labels(Loader(arrays, 4))
