"""Where and of what a run was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.peers.like_tensorstore import cores

PACKAGES = (
    "asynctensor",
    "tensorstore",
    "zarr",
    "zarrs",
    "numpy",
    "numcodecs",
    "zstandard",
    "uvloop",
)
ROOT = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """The version of each package that takes part."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """The commit, and whether the working tree differs from it (outside docs/)."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "not in a git checkout"
    changed = _git("status", "--porcelain", "--", ".", ":!docs")
    return f"{head}{' with changes not committed' if changed else ''}"


def describe(folder: Path) -> dict[str, str]:
    """The machine, in words; `folder` is where the arrays lie."""
    return {
        "processor": f"{_processor()}, {cores()} cores",
        "memory": f"{_memory() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "file system": _file_system(folder),
    }


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _memory() -> int:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _file_system(folder: Path) -> str:
    """The type of the mount that holds the folder (Linux)."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    inside: dict[Path, str] = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.absolute().is_relative_to(point):
            inside[Path(point)] = kind
    return inside[max(inside, key=lambda point: len(point.parts))] if inside else "unknown"
