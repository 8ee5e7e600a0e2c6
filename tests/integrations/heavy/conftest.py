"""What the tests with large libraries share."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process in which JAX was loaded warns of every fork, whoever forks."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called:RuntimeWarning")
            )
