"""What is independent is under way at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from asynctensor.extending import register_kvstore
from asynctensor.integrations.xarray import open_dataset_async
from asynctensor.integrations.zarr import Store
from asynctensor.testing.registrations import registrations_undone
from tests.integrations.xarray.conftest import write


class Together:
    """Values of a folder; those of chunks are given once `wanted` of them are asked for."""

    wanted: ClassVar[int] = 1
    asked: ClassVar[Counter[str]]
    open: ClassVar[asyncio.Event]

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    async def read(self, key: str) -> bytes | None:
        cls = type(self)
        if "/c" in key:
            cls.asked[key.partition("/")[0]] += 1
            if cls.asked.total() >= cls.wanted:
                cls.open.set()
            await cls.open.wait()
        path = self.folder / key
        return path.read_bytes() if path.is_file() else None

    async def list(self, prefix: str) -> list[str]:
        below = [each for each in self.folder.rglob("*") if each.is_file()]
        return [each.relative_to(self.folder).as_posix() for each in below]


@pytest.fixture
def together() -> Iterator[type[Together]]:
    class Fresh(Together):
        asked: ClassVar[Counter[str]] = Counter()
        open: ClassVar[asyncio.Event] = asyncio.Event()

    with registrations_undone():
        register_kvstore("together")(Fresh)
        yield Fresh


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, str]:
    made = xr.Dataset(
        {f"v{i}": (("x", "y"), np.full((4, 4), i)) for i in range(8)},
        coords={"x": np.arange(4), "y": np.arange(4)},
    )
    for name in made.data_vars:
        made[name].encoding["chunks"] = (2, 4)
    write(made, Store(tmp_path), consolidated=False)
    return {"driver": "together", "folder": str(tmp_path)}


async def test_coordinates_and_then_all_variables(
    together: type[Together], spec: dict[str, str]
) -> None:
    together.wanted = 2
    found = await open_dataset_async(spec)
    assert together.asked == {"x": 1, "y": 1}
    together.wanted += 16
    together.open.clear()
    await found.load_async()
    assert together.asked == {"x": 1, "y": 1, **{f"v{i}": 2 for i in range(8)}}
    assert [int(found[f"v{i}"].sum()) for i in range(8)] == [16 * i for i in range(8)]


async def test_cancelled(together: type[Together], spec: dict[str, str]) -> None:
    together.wanted = 2
    found = await open_dataset_async(spec)
    together.open.clear()
    together.wanted = 100
    task = asyncio.ensure_future(found.load_async())
    while together.asked.total() < 18:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    together.open.set()
    assert int((await found[["v3"]].load_async())["v3"].sum()) == 48
