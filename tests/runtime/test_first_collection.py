"""The first full garbage collection comes when the I/O loop starts, and not in some read."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc
{before}
import asynctensor
from asynctensor.runtime.event_loop import io_loop
full = lambda: gc.get_stats()[2]["collections"]
first = full()
io_loop()
second = full()
io_loop()
print(first, second, full())
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [("", "0 1 1"), ("gc.disable()", "0 0 0"), ("gc.collect()", "1 1 1")],
)
def test_there_is_one_at_most(before: str, expected: str) -> None:
    program = PROGRAM.format(before=before)
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == expected.split()
