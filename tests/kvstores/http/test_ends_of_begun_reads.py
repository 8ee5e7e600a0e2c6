"""Reads that are under way without a task when the runtime ends: their readers are told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers.process import ROOT

PROGRAM = """
import sys, threading
import asynctensor as ts
from asynctensor.errors import Aborted
from asynctensor.runtime.event_loop import shutdown
from tests.servers.scripted import Asked, Said, ScriptedServer

asked, go_on = threading.Semaphore(0), threading.Event()

def script(request):
    asked.release()
    if sys.argv[1] == "unanswered":
        go_on.wait(60)
    return Said(503, (("Retry-After", "500"),))

with ScriptedServer(script) as server:
    store = ts.KvStore.open(f"{server.url}/").result()
    reads = [store.read(key) for key in "abc"]
    for read in reads:
        read.force()
    for read in reads:
        assert asked.acquire(timeout=60)
    shutdown()
    for key, read in zip("abc", reads, strict=True):
        try:
            read.result(timeout=60)
        except Aborted as error:
            assert error.key == f"/{key}", error
        else:
            raise AssertionError(key)
    go_on.set()
"""


@pytest.mark.parametrize("moment", ["unanswered", "about to be asked again"])
def test_who_waits_is_told(moment) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, moment]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
