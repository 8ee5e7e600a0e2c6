"""Messages about single operations are switched on by name."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument


@pytest.fixture(autouse=True)
def _silent_again() -> Iterator[None]:
    yield
    at.experimental_update_verbose_logging(overwrite=True)
    logging.getLogger("asynctensor").handlers.clear()


def told(caplog: pytest.LogCaptureFixture) -> set[str]:
    found = {record.name for record in caplog.records}
    caplog.clear()
    return found


def work(tmp_path: Path) -> None:
    for driver in ("file", "memory"):
        kvstore = at.KvStore.open({"driver": driver, "path": f"{tmp_path}/"}).result()
        kvstore["a"] = b"abc"
        assert kvstore["a"] == b"abc"


def test_each_store_has_a_switch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work(tmp_path)
    assert told(caplog) == set()
    at.experimental_update_verbose_logging("file")
    work(tmp_path)
    assert told(caplog) == {"asynctensor.file"}
    at.experimental_update_verbose_logging("memory=2")
    work(tmp_path)
    assert told(caplog) == {"asynctensor.file", "asynctensor.memory"}
    at.experimental_update_verbose_logging("file=0")
    work(tmp_path)
    assert told(caplog) == {"asynctensor.memory"}
    at.experimental_update_verbose_logging("file", overwrite=True)
    work(tmp_path)
    assert told(caplog) == {"asynctensor.file"}


def test_messages_name_operation_and_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at.experimental_update_verbose_logging("file")
    work(tmp_path)
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("write ") and "/a: " in text for text in texts)
    assert any(text.startswith("read ") and text.endswith("/a") for text in texts)


@pytest.mark.parametrize("flags", ["=1", "file=x", "file=", "file,=2"])
def test_what_is_no_list_of_flags_is_refused(flags: str) -> None:
    with pytest.raises(InvalidArgument, match="name=level"):
        at.experimental_update_verbose_logging(flags)


def test_the_flag_of_a_command_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at.parse_tensorstore_flags(["prog", "--other=1", "--tensorstore_verbose_logging=memory", "x"])
    work(tmp_path)
    assert told(caplog) == {"asynctensor.memory"}
    with pytest.raises(InvalidArgument, match="Did you mean it"):
        at.parse_tensorstore_flags(["prog", "--tensorstore_verbose_loging=file"])
    with pytest.raises(IncompatibleType):
        at.parse_tensorstore_flags("--tensorstore_verbose_logging=file")


def test_the_environment_switches_on_and_standard_error_shows(tmp_path: Path) -> None:
    code = f"import asynctensor as at\nat.KvStore.open('file://{tmp_path}/').result()['a'] = b'1'\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TENSORSTORE_VERBOSE_LOGGING": "file"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"write {tmp_path}/a" in done.stderr
