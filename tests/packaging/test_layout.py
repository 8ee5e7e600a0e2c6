"""The folders on disk are those that pyproject.toml lists, and the links are links."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

LINKS = {"drivers": Path("../drivers"), "kvstores": Path("../kvstores")}


def packages_on_disk() -> set[str]:
    found = set()
    for room, name in [("asynctensor", "asynctensor")] + [(r, f"asynctensor.{r}") for r in LINKS]:
        for init in (ROOT / room).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / room).parts
            # Before Python 3.13 rglob may follow the links.
            if room != "asynctensor" or parts[:1] not in [(link,) for link in LINKS]:
                found.add(".".join([name, *parts]))
    return found


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(settings["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_every_folder_with_modules_is_a_package() -> None:
    for room in ("asynctensor", *LINKS):
        for module in (ROOT / room).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} lacks __init__.py"


@pytest.mark.parametrize("name", LINKS)
def test_links_are_links(name: str) -> None:
    link = ROOT / "asynctensor" / name
    assert link.is_symlink(), (
        f"{link} is not a symbolic link. Where git checked it out as a text file, type checkers "
        f"and IDEs do not see asynctensor.{name}; run `git config core.symlinks true` and check "
        f"it out again (on Windows in developer mode)."
    )
    assert link.readlink() == LINKS[name]


@pytest.mark.parametrize("name", LINKS)
def test_a_room_cannot_be_imported_by_its_folder_name(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"ImportError: this folder is the package asynctensor.{name}" in done.stderr
