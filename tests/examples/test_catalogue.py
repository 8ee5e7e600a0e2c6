"""The example with fsspec: the table is of the pictures beside it, in each state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import asynctensor as at
from examples import catalogue


def test_pictures_and_table_are_of_one_commit(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    catalogue.record(repo)
    catalogue.correct(repo)
    tables = {}
    for name, state in (("measured", {"tag": "measured"}), ("main", {})):
        spec = {"driver": "zarr3", "kvstore": repo.kvstore("pictures/", **state)}
        pictures = at.open(spec).result().read().result()
        tables[name] = catalogue.read(repo, **state)
        pd.testing.assert_frame_equal(tables[name], catalogue.described(pictures))
    old = np.arange(catalogue.COUNT) % 3 == 0
    before, after = (tables[name]["covered"].to_numpy() for name in ("measured", "main"))
    assert not before[old].any()
    assert after[old].all()
    assert (before[~old] == after[~old]).all()
    log = list(repo.log())
    assert [each.message for each in log] == [
        "the old camera saw half of the light",
        "60 pictures of cells",
    ]
    (changed,) = repo.diff("measured").all().result().documents
    assert changed.key == "cells.csv"
