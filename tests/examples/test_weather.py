"""The example with xarray: what it reads is what it wrote."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from examples.weather import HOURS, forecast, main


async def test_each_state_is_what_was_written(tmp_path: Path) -> None:
    first, newest = await main(tmp_path / "weather")
    xr.testing.assert_identical(first, forecast(0))
    expected = xr.concat([forecast(0), forecast(1)], dim="time")
    expected["wind"][HOURS:] = 0
    xr.testing.assert_identical(newest, expected)
