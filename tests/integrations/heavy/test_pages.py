"""The code on the pages of libraries that take long to install."""

from __future__ import annotations

import pytest

from tests.docs.test_code_blocks import pages, run_page


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")
@pytest.mark.parametrize("page", pages(heavy=True))
def test_code_runs(page, tmp_path, monkeypatch) -> None:
    run_page(page, tmp_path, monkeypatch)
