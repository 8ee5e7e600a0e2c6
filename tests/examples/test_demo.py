"""The demo on small volumes: one commit, a killed ingest, an edit, and the old state read back."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import asynctensor as at
from examples import demo
from tests.examples.test_nifti import nifti

SHAPE = (40, 33, 70)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    chance = np.random.default_rng(7)
    found = []
    for name in ("t1", "gm", "wm"):
        found.append(tmp_path / f"small_{name}.nii.gz")
        found[-1].write_bytes(gzip.compress(nifti(chance.integers(0, 99, SHAPE, np.uint8), 2)))
    return found


@pytest.mark.slow
async def test_demo(sources: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "output"
    output.mkdir()
    assert await demo.run(sources, output) == 0
    said = capfd.readouterr().out
    assert "as before: yes" in said
    assert f"{3 * np.prod(SHAPE):,} voxels, 0 differ" in said
    assert "~ array mni152/gm: attributes, chunks 1 changed, in [0:40, 0:33, 0:70]" in said
    assert "  gm: 'mni152/gm/c/0/0/0' was written last" in said
    assert (output / "slices.png").stat().st_size > 0
    repo = await at.Repository.open(output / "brains")
    log = [commit async for commit in repo.log()]
    assert [commit.author for commit in log] == ["ada", "the demo"]
    assert log[1].changes.chunks == {f"mni152/{name}/c/": 1 for name in ("gm", "t1", "wm")}
    assert await repo.kvstore("again/").list() == []
    attrs = await at.open_attributes(repo.kvstore("mni152/gm/"))
    assert (attrs["source"], attrs["voxel_size_mm"]) == ("small_gm.nii.gz", [0.5, 1.0, 2.0])
    assert attrs["cleared_below"] == demo.FAINT
    old = await at.open_attributes(repo.kvstore("mni152/gm/", tag="ingested"))
    assert "cleared_below" not in old


async def test_an_edit_that_changed_something_else_is_noticed(
    sources: list[Path], tmp_path: Path
) -> None:
    location = tmp_path / "brains"
    await demo.first_ingest(location, sources)
    assert not await demo.show_history(location, 1)
    changed = await demo.clear_faint(location)
    assert changed > 0
    assert await demo.show_history(location, changed)
