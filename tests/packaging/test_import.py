"""What `import asynctensor` does not do."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.packaging.conftest import ROOT

#: Libraries that load on first use, and those that only tests and benchmarks need.
HEAVY = {
    "aiofiles", "aiohttp", "google_crc32c", "msgpack", "numcodecs", "uvloop", "zstandard",
    "fsspec", "hypothesis", "obstore", "pytest", "tensorstore", "xarray", "zarr",
}  # fmt: skip


@pytest.fixture(scope="module")
def after_import() -> dict[str, list[str]]:
    code = (
        "import json, sys, threading, asynctensor;"
        "print(json.dumps({'modules': sorted(sys.modules),"
        " 'threads': [t.name for t in threading.enumerate()]}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_heavy_libraries_are_not_imported(after_import: dict[str, list[str]]) -> None:
    assert HEAVY & set(after_import["modules"]) == set()


def test_no_format_and_no_store_is_imported(after_import: dict[str, list[str]]) -> None:
    rooms = ("asynctensor.drivers.", "asynctensor.kvstores.")
    assert [name for name in after_import["modules"] if name.startswith(rooms)] == []


def test_no_thread_is_started(after_import: dict[str, list[str]]) -> None:
    assert after_import["threads"] == ["MainThread"]
