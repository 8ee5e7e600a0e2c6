"""What a forked child finds of names, while threads of the parent were at work with them."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asynctensor import names
from asynctensor.errors import AlreadyExists
from asynctensor.known_drivers import KnownDriver
from asynctensor.known_kvstores import KnownKvStore
from asynctensor.name_table import NameTable
from asynctensor.registry import DRIVER_TABLE, KVSTORE_TABLE
from asynctensor.spec_rules import DriverRules, KvStoreRules
from asynctensor.testing.registrations import registrations_undone


def _driver(name: str, scheme: str | None = None, user: bool = True) -> KnownDriver:
    return KnownDriver(DriverRules(name, scheme=scheme), from_user=user)


def _register() -> None:
    DRIVER_TABLE.add(_driver("made_in_a_child"), [KVSTORE_TABLE], replace=False)


def _look() -> None:
    with names._LOADED.lock:
        pass


@pytest.mark.parametrize(
    ("lock", "work"), [(lambda: DRIVER_TABLE._lock, _register), (lambda: names._LOADED.lock, _look)]
)
def test_a_child_does_not_wait_for_a_thread_of_its_parent(
    lock: Callable[[], Any], work: Callable[[], None]
) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    stuck = child.is_alive()
    done.set()
    thread.join()
    if stuck:
        child.kill()
        child.join()
    assert not stuck
    assert child.exitcode == 0


def test_a_scheme_is_that_of_one_name() -> None:
    with registrations_undone():
        DRIVER_TABLE.add(_driver("one", "one_scheme"), [KVSTORE_TABLE], replace=False)
        store = KnownKvStore(KvStoreRules("two", scheme="one_scheme"), from_user=True)
        with pytest.raises(AlreadyExists, match='that of "one"'):
            KVSTORE_TABLE.add(store, [DRIVER_TABLE], replace=False)
        with pytest.raises(AlreadyExists, match="pass replace=True"):
            DRIVER_TABLE.add(_driver("one"), [], replace=False)
        with pytest.raises(AlreadyExists, match="choose another name"):
            DRIVER_TABLE.add(_driver("zarr3"), [], replace=True)
        # One that is replaced leaves its scheme.
        DRIVER_TABLE.add(_driver("one"), [], replace=True)
        KVSTORE_TABLE.add(store, [DRIVER_TABLE], replace=False)
        assert DRIVER_TABLE.of_scheme("one_scheme") is None
    assert KVSTORE_TABLE.of_scheme("one_scheme") is None


def test_aliases_name_the_same_driver_once() -> None:
    table: NameTable[KnownDriver] = NameTable(
        "driver", "driver", "none", [KnownDriver(DriverRules("a"), aliases=("b", "c"))]
    )
    assert table.find("b") is table.find("a")
    assert len(list(table)) == 1
