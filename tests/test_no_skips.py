"""The hook in conftest.py that turns skipped and xfailed tests into failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = {
    "skip": "def test_it():\n    pytest.skip('no server')",
    "skipif": "@pytest.mark.skipif(True, reason='no server')\ndef test_it(): pass",
    "xfail": "@pytest.mark.xfail\ndef test_it(): assert False",
    "xpass": "@pytest.mark.xfail(strict=False)\ndef test_it(): pass",
    "module": "pytest.skip('no server', allow_module_level=True)",
    "importorskip": "pytest.importorskip('no_such_module')",
}
ROW = """
[[row]]
server = "a server"
version = "1.2.3"
wrong = "loses writes"
tests = ["tests/test_case.py*"]
"""


def run_pytest(folder: Path, case: str, row: str, *options: str) -> int:
    tests = folder / "tests"
    (tests / "servers").mkdir(parents=True)
    (tests / "servers" / "fixtures.py").touch()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\ntestpaths = ['tests']\n")
    shutil.copy(HERE / "conftest.py", tests)
    (tests / "known_servers.toml").write_text(row)
    (tests / "test_case.py").write_text(f"import pytest\n{case}\n")
    (tests / "test_other.py").write_text("def test_other(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CI_", "PYTEST_"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True
    ).returncode


@pytest.mark.parametrize("kind", KINDS)
def test_a_skip_fails_the_run(tmp_path: Path, kind: str) -> None:
    assert run_pytest(tmp_path, KINDS[kind], "", "--no-skips") in (1, 2)


def test_a_row_excuses_a_test(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, KINDS["skip"], ROW, "--no-skips") == 0


def test_an_incomplete_row_is_refused(tmp_path: Path) -> None:
    row = ROW.replace('version = "1.2.3"\n', "")
    assert run_pytest(tmp_path, KINDS["skip"], row, "--no-skips") == 4


def test_a_skip_passes_by_hand(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, KINDS["skip"], "") == 0
