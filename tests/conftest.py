"""What holds for all tests.

In CI a test that is skipped or xfailed has failed, but for the rows of known_servers.toml.
"""

from __future__ import annotations

import fnmatch
import gc
import os
import tomllib
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.servers.fixtures",)

# A busy machine is slow to make examples, and to run them, which says nothing of the code. CI says
# of a change whether it is right, and not whether it was lucky.
settings.register_profile(
    "busy",
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
    derandomize=bool(os.environ.get("CI_NO_SKIPS") or os.environ.get("CI")),
)
settings.load_profile("busy")

ROWS = Path(__file__).with_name("known_servers.toml")
HEAVY = Path(__file__).with_name("integrations") / "heavy"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=bool(os.environ.get("CI_NO_SKIPS")),
        help="fail every test that is skipped or xfailed and not named in known_servers.toml "
        "(also on with CI_NO_SKIPS=1)",
    )
    parser.addoption(
        "--all-servers",
        action="store_true",
        help="run the tests against servers also on those that need Debian's packages",
    )
    parser.addoption(
        "--integrations",
        action="store_true",
        help="run the tests with libraries that take long to install (make test-integrations)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves `HEAVY` to those who have what it needs."""
    return True if collection_path == HEAVY and not config.getoption("--integrations") else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keeps what is collected, half a million objects, from being looked through as garbage.

    That took a tenth of the time of a whole run: while it grew, and with every collection later.
    """
    gc.disable()
    try:
        found = yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()
    return found


def excused_patterns(rows: Path) -> list[str]:
    """The node id patterns of all rows; a row that leaves something out is an error."""
    patterns: list[str] = []
    for row in tomllib.loads(rows.read_text()).get("row", []):
        lacking = [name for name in ("server", "version", "wrong", "tests") if not row.get(name)]
        if lacking:
            raise pytest.UsageError(f"{rows.name}: the row {row} lacks {', '.join(lacking)}")
        patterns += row["tests"]
    return patterns


def pytest_configure(config: pytest.Config) -> None:
    config.stash[EXCUSED] = excused_patterns(ROWS)


EXCUSED = pytest.StashKey[list[str]]()


def _refuse(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if not config.getoption("--no-skips"):
        return
    expected_to_fail = hasattr(report, "wasxfail")
    if not (report.skipped or expected_to_fail):
        return
    if any(fnmatch.fnmatchcase(report.nodeid, pattern) for pattern in config.stash[EXCUSED]):
        return
    what = f"xfailed: {report.wasxfail}" if expected_to_fail else f"skipped: {report.longrepr}"
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was {what}\nNothing is skipped here; a row of {ROWS.name} can excuse a "
        f"test only by what a named server does wrong."
    )
    if expected_to_fail:
        del report.wasxfail


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report, item.config)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report, collector.config)
    return report


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """What sockets other tests left is collected before modules that collect by themselves."""
    if not hasattr(request.module, "gc"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
