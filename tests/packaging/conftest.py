"""A clean environment that has our dependencies and not our package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip.

    Attributes:
        python: Its interpreter.
        site_packages: Where packages are installed in it.
    """

    python: Path
    site_packages: Path

    def install(self, *arguments: str | Path) -> None:
        """Installs by the pip of the running environment, from local files only."""
        run(
            sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
            "--no-deps", "--no-index", "--no-build-isolation", *arguments,
        )  # fmt: skip

    def execute(self, code: str, *, cwd: Path) -> str:
        """What a program prints there; it sees neither the working tree nor PYTHONPATH."""
        return run(self.python, "-c", code, cwd=cwd)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def clean(tmp_path: Path) -> Environment:
    folder = tmp_path / "clean"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    site_packages = Path(scheme["purelib"])
    # Path entries in a .pth file are not searched for further .pth files, so an editable install
    # of our own package there stays out of sight.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Environment(Path(scheme["scripts"]) / Path(sys.executable).name, site_packages)
