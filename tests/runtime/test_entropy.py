"""Names and waits are drawn from one place, and nothing in asynctensor draws from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from asynctensor.runtime.entropy import random_bytes, random_hex, uniform

ROOT = Path(__file__).parents[2]
#: Tools of tests are seeded by their callers; what `sources` refers to is the real thing.
ELSEWHERE = re.compile(
    r"^\s*(import (random|secrets|uuid)\b|from (random|secrets|uuid) import)|os\.urandom\(",
    re.MULTILINE,
)


def test_all_values_differ_and_stay_in_range() -> None:
    assert len({random_bytes(8) for _ in range(1000)}) == 1000
    assert len({random_hex(8) for _ in range(1000)}) == 1000
    assert len(random_hex(8)) == 16
    drawn = [uniform(2.0, 3.0) for _ in range(1000)]
    assert all(2.0 <= number < 3.0 for number in drawn)
    assert min(drawn) < 2.1 < 2.9 < max(drawn)


def test_nothing_draws_from_elsewhere() -> None:
    """Else a simulation could not be run again: use `asynctensor.runtime.entropy`."""
    found = [
        str(path.relative_to(ROOT))
        for room in ("asynctensor", "drivers", "kvstores")
        for path in sorted((ROOT / room).rglob("*.py"))
        if not path.is_relative_to(ROOT / "asynctensor" / "testing")
        and ELSEWHERE.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
