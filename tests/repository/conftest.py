"""Repositories in memory, in files and in the clouds' stand-ins."""

from __future__ import annotations

import pytest

import asynctensor as at
from tests.servers.cloud_folders import CLOUDS, new_folder


@pytest.fixture(params=["memory", "file", *CLOUDS])
def place(request, tmp_path, servers, monkeypatch) -> str | dict:
    """Where nothing is yet."""
    if request.param == "memory":
        return "memory://lab/"
    if request.param == "file":
        return f"file://{tmp_path}/lab/"
    return new_folder(request.param, servers, monkeypatch)


@pytest.fixture
async def repo(place) -> at.Repository:
    """An empty repository."""
    return await at.Repository.open(place, create=True)
