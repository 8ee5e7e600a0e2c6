"""`Repository.statistics`: what there is, counted by hand."""

from __future__ import annotations

from pathlib import Path

import asynctensor as at


async def test_what_there_is(tmp_path: Path) -> None:
    repo = await at.Repository.open(tmp_path, create=True)
    empty = await repo.statistics()
    assert (empty.arrays, empty.values, empty.records, empty.branches) == (0, 0, 0, 1)
    await at.create_group(repo.kvstore("g/"))
    for driver in ("zarr3", "zarr2", "n5"):
        spec = {"driver": driver, "kvstore": repo.kvstore(f"g/{driver}/")}
        layout = at.ChunkLayout(chunk_shape=[64, 64])
        image = await at.open(
            spec, create=True, dtype="uint8", shape=[128, 128], chunk_layout=layout
        )
        await image[...].write(7)
    await repo.kvstore().write("notes", b"x" * 10)
    await repo.create_tag("v1")
    await repo.create_branch("fix")
    await repo.kvstore().write("notes", b"x" * 20)
    found = await repo.statistics()
    assert (found.arrays, found.groups) == (3, 1)
    keys = await repo.kvstore().list()
    assert found.values == len(keys)
    assert found.value_bytes == sum([len((await repo.kvstore().read(key)).value) for key in keys])
    assert (found.branches, found.tags) == (2, 1)
    assert (await repo.statistics("v1")).value_bytes == found.value_bytes - 10
    files = [each for each in tmp_path.rglob("*") if each.is_file()]  # noqa: ASYNC240
    assert found.stored_bytes == sum(each.stat().st_size for each in files)
    assert found.records == found.stored["log"].count
    assert found.stored["repo.json"].count == 1
    assert found.requests["create"] >= found.records
    assert found.requests["list"] >= 2
