"""Registrations of one test are unknown to the others."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynctensor.testing.registrations import registrations_undone


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with registrations_undone():
        yield


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is such: what disks promise is not what is tested here."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    yield Path(folder)
    shutil.rmtree(folder)
