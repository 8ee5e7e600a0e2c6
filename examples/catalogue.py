"""pandas keeps a table beside the images that it describes: both in one commit, and both as ever.

``python -m examples.catalogue FOLDER`` stores pictures of cells in a repository in `FOLDER`, and
the table of what is on them as a CSV file of fsspec in the same commit. A camera turns out to have
been too dark; pictures and table are corrected at once, and the old table is read beside the new.
Needs ``pip install 'asynctensor[fsspec]' pandas``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import asynctensor as at

COUNT, EDGE = 60, 64
#: What is brighter than this is a cell.
BRIGHT = 100
TABLE = "asynctensor://cells.csv"


def photographed(seed: int = 0) -> np.ndarray:
    """Pictures with cells on them; every third is of a camera that sees half of the light."""
    chance = np.random.default_rng(seed)
    pictures = chance.integers(0, 40, (COUNT, EDGE, EDGE), dtype="uint8")
    for picture in pictures:
        for y, x in chance.integers(0, EDGE - 4, (chance.integers(3, 30), 2)):
            picture[y : y + 4, x : x + 4] = 160
    pictures[::3] //= 2
    return pictures


def described(pictures: np.ndarray) -> pd.DataFrame:
    """A row for each picture: its camera, and how much of it is cells."""
    covered = (pictures > BRIGHT).mean((1, 2))
    cameras = ["old" if number % 3 == 0 else "new" for number in range(len(pictures))]
    return pd.DataFrame({"camera": cameras, "covered": covered.round(4)})


def record(repo: at.Repository) -> None:
    """Stores pictures and table in one commit, and calls it ``measured``."""
    pictures = photographed()
    with repo.transaction(message="60 pictures of cells") as txn:
        layout = at.ChunkLayout(chunk_shape=[10, EDGE, EDGE])
        spec = {"driver": "zarr3", "kvstore": repo.kvstore("pictures/")}
        array = at.open(
            spec, create=True, transaction=txn, dtype="uint8", shape=pictures.shape,
            chunk_layout=layout,
        ).result()  # fmt: skip
        array.write(pictures).result()
        write(repo, described(pictures), txn)
    repo.create_tag("measured").result()


def correct(repo: at.Repository) -> None:
    """Doubles what the old camera saw, and counts again: nobody sees the one without the other."""
    with repo.transaction(message="the old camera saw half of the light") as txn:
        spec = {"driver": "zarr3", "kvstore": repo.kvstore("pictures/")}
        array = at.open(spec, transaction=txn).result()
        table = read(repo, transaction=txn)
        dark = np.flatnonzero(table["camera"] == "old")
        array.oindex[dark].write(array.oindex[dark].read().result() * 2).result()
        write(repo, described(array.read().result()), txn)


def write(repo: at.Repository, table: pd.DataFrame, txn: at.Transaction) -> None:
    """Writes the table, as part of a transaction."""
    options = {"kvstore": repo, "transaction": txn}
    table.to_csv(TABLE, index=False, storage_options=options)


def read(repo: at.Repository, **state: object) -> pd.DataFrame:
    """The table, now or in another state: ``tag=``, ``as_of=`` and the like."""
    return pd.read_csv(TABLE, storage_options={"kvstore": repo, **state})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    repo = at.Repository.open(parser.parse_args().folder / "cells", create=True).result()
    record(repo)
    correct(repo)
    for name, state in (("as measured", {"tag": "measured"}), ("corrected", {})):
        print(name, read(repo, **state).groupby("camera")["covered"].mean().round(3).to_dict())
    for commit in repo.log():
        print(commit)


if __name__ == "__main__":
    main()
