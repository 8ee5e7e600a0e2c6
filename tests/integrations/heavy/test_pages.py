"""The code on the pages of libraries that take long to install."""

from __future__ import annotations

import sys

import pytest

from tests.docs.test_code_blocks import pages, run_page


# What the libraries say of themselves.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", pages(heavy=True))
def test_code_runs(page, tmp_path, monkeypatch, request) -> None:
    # Else Ray's processes give way to whatever else runs on the machine.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    if page.endswith("spark.md"):
        request.getfixturevalue("spark")
    try:
        run_page(page, tmp_path, monkeypatch)
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
