"""What holds for all tests of the chunk engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asynctensor.chunked.compression.blosc import blosc


@pytest.fixture(autouse=True, scope="package")
def blosc_of_one_thread() -> Iterator[None]:
    """Has numcodecs encode as on a worker.

    On the main thread, it puts several threads to the blocks of a frame, which then lie in it in
    the order in which they happened to end.
    """
    before = blosc.use_threads
    blosc.use_threads = False
    yield
    blosc.use_threads = before
