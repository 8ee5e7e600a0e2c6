"""The examples of the guides pass the public suites, as the guides say, and fit into packages."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import asynctensor
from asynctensor import names
from asynctensor.extending import register_kvstore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Page, and the test class that it shows.
GUIDES = {
    "writing-a-store.md": "TestSqliteStore",
    "writing-a-driver.md": "TestNpy",
    "writing-a-codec.md": "TestDigest",
}
#: The worked examples: what registers each, by page.
EXAMPLES = [
    ("writing-a-store.md", "class SqliteStore"),
    ("writing-a-store.md", "class UpperStore"),
    ("writing-a-store.md", 'register_kvstore("shelf"'),
    ("writing-a-store.md", "class Drawer"),
    ("writing-a-driver.md", "def open_npy"),
    ("writing-a-driver.md", "def open_ramp"),
    ("writing-a-driver.md", "def open_negative"),
    ("writing-a-driver.md", "class Tiles"),
    ("writing-a-codec.md", "class Digest"),
    ("writing-a-codec.md", "class Lines"),
]


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def block_with(page: str, text: str) -> str:
    (block,) = [code for code in blocks(page) if text in code]
    return block


def shown(page: str) -> type:
    """The test class that a page shows; its example is registered before each test."""
    name = GUIDES[page]
    names: dict[str, Any] = {"__name__": __name__, "at": asynctensor}
    exec(compile(block_with(page, f"class {name}"), page, "exec"), names)
    found = names[name]

    @pytest.fixture(autouse=True)
    def registered(self, alone) -> None:
        exec(compile(blocks(page)[0], page, "exec"), {"__name__": __name__})

    found.registered = registered
    return found


TestSqliteStore = shown("writing-a-store.md")
TestNpy = shown("writing-a-driver.md")
TestDigest = shown("writing-a-codec.md")


class TestDrawer(KeyValueStoreSuite):
    """The subclass of the whole contract."""

    @pytest.fixture
    async def store(self, alone) -> Any:
        code = block_with("writing-a-store.md", "class Drawer")
        exec(compile(code, "writing-a-store.md", "exec"), {"__name__": __name__})
        return (await asynctensor.KvStore.open("drawer://")).store


class TestShelf(KeyValueStoreSuite):
    """Coroutine functions."""

    @pytest.fixture
    async def store(self, alone) -> Any:
        code = block_with("writing-a-store.md", 'register_kvstore("shelf"')
        code, _, _ = code.partition("kept = await")
        scope = {"__name__": __name__, "register_kvstore": register_kvstore}
        exec(compile(code, "writing-a-store.md", "exec"), scope)
        return (await asynctensor.KvStore.open({"driver": "shelf"})).store

    async def test_empty_value_is_a_value(self, store) -> None:
        """Sizes are not told."""

    async def test_list_with_sizes(self, store) -> None:
        """Sizes are not told."""


@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_examples_are_short(page: str, text: str) -> None:
    example = [line for line in block_with(page, text).splitlines() if line.strip()]
    assert len(example) <= 30
    assert len(max(example, key=len)) <= 100


#: Page, and what asks for the example by its name.
NAMED: dict[str, Any] = {
    "writing-a-store.md": lambda: asynctensor.KvStore.open({"driver": "sqlite"}).result().list(),
    "writing-a-driver.md": lambda: asynctensor.open("memory://a.npy|npy:", dtype="int8", shape=[2]),
    "writing-a-codec.md": lambda: asynctensor.open(
        "memory://|zarr3:",
        create=True,
        dtype="int8",
        shape=[2],
        codec=asynctensor.CodecSpec({"driver": "zarr3", "codecs": ["bytes", "digest"]}),
    ),
}


@pytest.mark.parametrize("page", GUIDES)
def test_entry_points_are_as_shown(
    page: str, alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example in a package of its own, with the entry point that the page shows."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ((group, points),) = tomllib.loads(shown)["project"]["entry-points"].items()
    ((name, target),) = points.items()
    module = target.partition(":")[0]
    file = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    file.write_text(blocks(page)[0])
    installed = tmp_path / "my_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names._LOADED, "points", set())
    for each in [each for each in sys.modules if each.startswith("my_package")]:
        monkeypatch.delitem(sys.modules, each)
    assert NAMED[page]().result() is not None
    assert module in sys.modules
