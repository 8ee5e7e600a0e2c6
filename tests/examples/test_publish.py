"""The example with obstore: what is published is the newest commit, and only changes are sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

import asynctensor as at
from examples import publish


async def test_a_change_is_all_that_is_sent_again(tmp_path: Path) -> None:
    first, second = await publish.main(tmp_path)
    assert first == publish.SHAPE[0] * publish.SHAPE[1]
    # The scene touches three or four tiles along each dimension.
    assert second == (4 * publish.TILE) ** 2
    repo = await at.Repository.open(tmp_path / "scenes")
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("mosaic/")}
    newest = await (await at.open(spec)).read()
    # Everybody can read it.
    published = zarr.open_array(tmp_path / "bucket" / "mosaic", mode="r")
    np.testing.assert_array_equal(published[...], newest)
    assert (newest[500:800, 700:1100] < 900).all()
    log = [each async for each in repo.log()]
    assert (tmp_path / "bucket" / publish.LABEL).read_text() == log[0].id
