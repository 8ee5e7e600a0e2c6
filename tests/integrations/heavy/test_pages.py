"""The code on the pages of libraries that take long to install."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.docs.test_code_blocks import pages, run_page


# What the libraries say of themselves.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", pages(heavy=True))
def test_code_runs(page, tmp_path, monkeypatch, request) -> None:
    if page.endswith("spark.md"):
        request.getfixturevalue("spark")
    if page.endswith("ray.md"):
        request.getfixturevalue("patient_ray")
        ray = importlib.import_module("ray")
        # On one processor, no task may wait for another that has none.
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        run_page(page, tmp_path, monkeypatch)
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
