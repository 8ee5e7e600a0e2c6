"""Keras learns to see which way fields are ploughed, and commits what it thinks of all of them.

``python -m examples.fields FOLDER`` makes pictures of fields in a repository in `FOLDER`, trains
on most of them by `tf.data`, where a batch is one read, and writes a guess for each picture in one
commit, whose message says how good they are. Needs ``pip install 'asynctensor[tensorflow]'``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

import asynctensor as at
from asynctensor.integrations.tensorflow import from_tensor, to_tf_dataset

COUNT, EDGE, BATCH, EPOCHS = 480, 16, 32, 6
#: Pictures that are learnt from; the others tell how well.
KNOWN = 400


def record(repo: at.Repository, seed: int = 0) -> None:
    """Pictures, and labels that say which are ploughed across (0) and down (1), in one commit."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, COUNT).astype("float32")
    down = np.broadcast_to(np.sin(np.arange(EDGE)), (EDGE, EDGE))
    furrows = np.where(labels[:, None, None] == 1, down, down.T)
    pictures = chance.normal(size=(COUNT, EDGE, EDGE)) + furrows
    with repo.transaction(message="seen from above") as txn:
        created(repo, "pictures/", pictures.shape, txn).write(pictures.astype("float32")).result()
        created(repo, "labels/", labels.shape, txn).write(labels).result()


def created(
    repo: at.Repository, path: str, shape: tuple[int, ...], txn: at.Transaction
) -> at.TensorStore:
    """A new array of float32, in chunks of 20 pictures."""
    layout = at.ChunkLayout(chunk_shape=[20, EDGE, EDGE][: len(shape)])
    return at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore(path)}, transaction=txn, create=True,
        dtype="float32", shape=shape, chunk_layout=layout,
    ).result()  # fmt: skip


def learnt(pictures: at.TensorStore, labels: at.TensorStore, seed: int = 1) -> tf.keras.Model:
    """A model of the pictures that are known."""
    tf.keras.utils.set_random_seed(seed)
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(1, "sigmoid")])
    model.compile(tf.keras.optimizers.Adam(0.01), "binary_crossentropy")
    arrays = {"picture": pictures[:KNOWN], "label": labels[:KNOWN]}
    batches = to_tf_dataset(arrays, BATCH, shuffle=True, seed=seed)
    pairs = batches.map(lambda batch: (batch["picture"], batch["label"]))
    # Each iteration is an epoch that is shuffled anew.
    model.fit(pairs, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


def guess(repo: at.Repository) -> float:
    """Learns, and commits a guess for each picture; gives how many of unknown ones are right."""
    pictures, labels = (
        at.open({"driver": "zarr3", "kvstore": repo.kvstore(path)}).result()
        for path in ("pictures/", "labels/")
    )
    model = learnt(pictures, labels)
    guesses = np.concatenate(
        [from_tensor(model(batch, training=False))[:, 0] for batch in to_tf_dataset(pictures, 64)]
    )
    right = (guesses > 0.5) == labels.read().result()
    share = float(right[KNOWN:].mean())
    with repo.transaction(message=f"by Keras: {share:.0%} of unknown ones are right") as txn:
        created(repo, "guesses/", guesses.shape, txn).write(guesses).result()
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    repo = at.Repository.open(parser.parse_args().folder / "fields", create=True).result()
    record(repo)
    guess(repo)
    for commit in repo.log():
        print(commit)


if __name__ == "__main__":
    main()
