"""Ray computes features of images: an array of vectors, in one commit, whatever dies meanwhile.

``python -m examples.features FOLDER`` makes images in a repository in `FOLDER`, reads them as a
dataset of Ray's, has its tasks compute a histogram of each and guess which are bright, and commits
all of that at once. Needs ``pip install 'asynctensor[ray]'``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

import asynctensor as at
from asynctensor.integrations.ray import read_array, write_array

COUNT, EDGE, BINS = 200, 32, 16


def record(repo: at.Repository, seed: int = 0) -> None:
    """Images, and labels that say which are dark (0) and which bright (1)."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, COUNT, dtype="int64")
    images = chance.integers(0, 128, (COUNT, EDGE, EDGE), dtype="uint8")
    images += (labels * 128).astype("uint8")[:, None, None]
    with repo.transaction(message="photographed") as txn:
        created(repo, "images/", "uint8", (COUNT, EDGE, EDGE), 10, txn).write(images).result()
        created(repo, "labels/", "int64", (COUNT,), COUNT, txn).write(labels).result()


def created(
    repo: at.Repository, path: str, dtype: str, shape: tuple[int, ...], rows: int, txn: Any
) -> at.TensorStore:
    """A new array in chunks of some rows."""
    layout = at.ChunkLayout(chunk_shape=[rows, *shape[1:]])
    spec = {"driver": "zarr3", "kvstore": repo.kvstore(path)}
    return at.open(
        spec, create=True, transaction=txn, dtype=dtype, shape=shape, chunk_layout=layout
    ).result()


def histograms(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a task does: the share of each brightness in each image."""
    levels = batch["image"].reshape(len(batch["image"]), -1) // (256 // BINS)
    counts = np.stack([np.bincount(each, minlength=BINS) for each in levels])
    shares = (counts / levels.shape[1]).astype("float32")
    guess = shares[:, BINS // 2 :].sum(1) > 0.5
    return {"index": batch["index"], "features": shares, "guess": guess}


def describe(repo: at.Repository) -> int:
    """Writes features and guesses of all images in one commit; gives how many guesses are right."""
    images, labels = (
        at.open({"driver": "zarr3", "kvstore": repo.kvstore(path)}).result()
        for path in ("images/", "labels/")
    )
    rows = read_array({"image": images}, override_num_blocks=7).map_batches(histograms)
    with repo.transaction(message="described by Ray") as txn:
        write_array(
            rows,
            {
                # Rows in other chunks than those of the images: tasks share them, and lose nothing.
                "features": created(repo, "features/", "float32", (COUNT, BINS), 64, txn),
                "guess": created(repo, "guesses/", "bool", (COUNT,), 64, txn),
            },
        )
    guesses = at.open({"driver": "zarr3", "kvstore": repo.kvstore("guesses/")}).result()
    return int((guesses.read().result() == labels.read().result()).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    repo = at.Repository.open(parser.parse_args().folder / "photographs", create=True).result()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    record(repo)
    right = describe(repo)
    ray.shutdown()
    print(f"{right} of {COUNT} guesses were right")
    for commit in repo.log():
        print(commit.message, commit.changes.chunks)


if __name__ == "__main__":
    main()
