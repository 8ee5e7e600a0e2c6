"""The examples of the guides pass the public suites, as the guides say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import asynctensor

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Page, and the test class that it shows.
GUIDES = {
    "writing-a-store.md": "TestSqliteStore",
    "writing-a-driver.md": "TestNpy",
    "writing-a-codec.md": "TestDigest",
}


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def shown(page: str) -> type:
    """The test class that a page shows; its example is registered before each test."""
    name = GUIDES[page]
    names: dict[str, Any] = {"__name__": __name__, "at": asynctensor}
    (block,) = [code for code in blocks(page) if f"class {name}" in code]
    exec(compile(block, page, "exec"), names)
    found = names[name]

    @pytest.fixture(autouse=True)
    def registered(self, alone) -> None:
        exec(compile(blocks(page)[0], page, "exec"), {"__name__": __name__})

    found.registered = registered
    return found


TestSqliteStore = shown("writing-a-store.md")
TestNpy = shown("writing-a-driver.md")
TestDigest = shown("writing-a-codec.md")


@pytest.mark.parametrize("page", GUIDES)
def test_examples_are_short(page: str) -> None:
    example = [line for line in blocks(page)[0].splitlines() if line.strip()]
    imports = [line for line in example if line.startswith(("import ", "from "))]
    assert len(example) - len(imports) <= 30
    assert len(max(example, key=len)) <= 100
