"""What a wheel, an editable install and an sdist put where."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Environment, run

SOURCES = ("asynctensor", "drivers", "kvstores")
IMPORTS = """
import asynctensor, asynctensor.drivers.zarr3, asynctensor.drivers.zarr2
import asynctensor.kvstores.file, asynctensor.kvstores.memory
print(asynctensor.__file__)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree: building leaves files behind."""
    return copy_tree(tmp_path_factory.mktemp("tree") / "project")


def copy_tree(copy: Path) -> Path:
    copy.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def distributions(tree: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, built by the backend that pyproject.toml names."""
    return build("wheel", tree), build("sdist", tree)


def build(kind: str, tree: Path) -> Path:
    code = (
        "import sys; from setuptools import build_meta as backend; kind, target = sys.argv[1:];"
        "getattr(backend, 'build_' + kind)(target)"
    )
    run(sys.executable, "-c", code, kind, tree / kind, cwd=tree)
    (built,) = (tree / kind).iterdir()
    return built


def modules_of(tree: Path) -> set[str]:
    """Every module on disk, by its path in the installed package."""
    found: set[str] = set()
    for name in SOURCES:
        below = "" if name == "asynctensor" else "asynctensor/"
        for folder, folders, files in os.walk(tree / name, followlinks=False):
            folders[:] = [f for f in folders if f != "__pycache__"]
            path = Path(folder).relative_to(tree).as_posix()
            found |= {f"{below}{path}/{f}" for f in files if f.endswith((".py", ".typed"))}
    return found


def test_a_wheel_holds_every_module_and_nothing_else(
    distributions: tuple[Path, Path], tree: Path
) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        records = wheel.namelist()
    assert names == modules_of(tree)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in records)


def test_an_installed_wheel_imports_and_adds_one_name(
    distributions: tuple[Path, Path], clean: Environment, tmp_path: Path
) -> None:
    before = set(os.listdir(clean.site_packages))
    clean.install(distributions[0])
    added = set(os.listdir(clean.site_packages)) - before
    assert {name for name in added if not name.endswith(".dist-info")} == {"asynctensor"}
    where = clean.execute(IMPORTS, cwd=tmp_path).strip()
    assert Path(where).is_relative_to(clean.site_packages)


@pytest.mark.parametrize("name", ["drivers", "kvstores"])
def test_the_folders_have_no_name_of_their_own_in_a_wheel(
    distributions: tuple[Path, Path], clean: Environment, tmp_path: Path, name: str
) -> None:
    clean.install(distributions[0])
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert clean.execute(code, cwd=tmp_path).strip() == "None"


def test_an_editable_install_imports_from_the_tree(
    tree: Path, clean: Environment, tmp_path: Path
) -> None:
    clean.install("--editable", tree)
    where = clean.execute(IMPORTS, cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tree)
    code = "import importlib.util as u; print(u.find_spec('drivers'), u.find_spec('kvstores'))"
    assert clean.execute(code, cwd=tmp_path).strip() == "None None"


def test_an_sdist_holds_all_sources_and_builds_the_same_wheel(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    wheel, sdist = distributions
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(build("wheel", unpacked)) as second:
        assert first.namelist() == second.namelist()


def test_a_checkout_without_links_builds_the_same_wheel(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    checkout = copy_tree(tmp_path / "checkout")
    for room in SOURCES[1:]:
        (checkout / "asynctensor" / room).unlink()
        (checkout / "asynctensor" / room).write_text(f"../{room}")
    with (
        zipfile.ZipFile(distributions[0]) as first,
        zipfile.ZipFile(build("wheel", checkout)) as second,
    ):
        assert first.namelist() == second.namelist()
