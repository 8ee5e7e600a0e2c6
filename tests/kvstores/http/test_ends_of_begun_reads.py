"""Reads that are under way without a task when the runtime ends: their readers are told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers.process import ROOT

PROGRAM = """
import asyncio, sys, threading
import asynctensor as ts
import asynctensor.runtime.event_loop
from asynctensor.errors import Aborted
from asynctensor.kvstores._http.wire_counters import retry_counter
from asynctensor.runtime.event_loop import at_exit, io_loop, shutdown
from tests.servers.scripted import Asked, Said, ScriptedServer

# However slow the machine is.
asynctensor.runtime.event_loop.GRACE = 60.0
moment = sys.argv[1]
asked, go_on = threading.Semaphore(0), threading.Event()
retried = retry_counter("http")

def script(request):
    asked.release()
    if moment in ("unanswered", "answered during the end"):
        go_on.wait(60)
    return Said(503, (("Retry-After", "500"),))

async def answered():
    # Tasks that were there when the end began are over.
    go_on.set()
    while retried.value < 3:
        await asyncio.sleep(0)

def stillborn(loop, work, **named):
    task = asyncio.Task(work, loop=loop, **named)
    if work.__qualname__ == moment:
        # Before its first step.
        task.cancel()
    return task

with ScriptedServer(script) as server:
    store = ts.KvStore.open(f"{server.url}/").result()
    if moment.endswith(("_seen_through", ".connected")):
        io_loop().set_task_factory(stillborn)
    reads = [store.read(key) for key in "abc"]
    for read in reads:
        read.force()
    if moment != "FastTransport.connected":
        for read in reads:
            assert asked.acquire(timeout=60)
    if moment == "answered during the end":
        at_exit(answered)
    if not moment.endswith(("_seen_through", ".connected")):
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


@pytest.mark.parametrize(
    "moment",
    [
        "unanswered",
        "about to be asked again",
        "answered during the end",
        # The tasks of these are cancelled.
        "BegunRequest._seen_through",
        "FastTransport.connected",
    ],
)
def test_who_waits_is_told(moment) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, moment]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")


WAITING = """
import threading
import asynctensor as ts
import asynctensor.runtime.event_loop
from asynctensor.errors import Aborted
from asynctensor.runtime.event_loop import shutdown
from tests.servers.scripted import Said, ScriptedServer

# However slow the machine is.
asynctensor.runtime.event_loop.GRACE = 60.0
asked, go_on = threading.Semaphore(0), threading.Event()

def script(request):
    asked.release()
    go_on.wait()
    return Said(200, (), b"value")

with ScriptedServer(script) as server:
    one = {"limit": 1}
    spec = {"driver": "http", "base_url": f"{server.url}/", "http_request_concurrency": one}
    store = ts.KvStore.open(spec).result()
    reads = [store.read(key) for key in "abc"]
    assert asked.acquire(timeout=60)
    shutdown()
    for read in reads:
        assert isinstance(read.exception(timeout=60), Aborted), read
    go_on.set()
    # Nobody of them is in the way of those who come later.
    assert store.read("a").result(timeout=60).value == b"value"
"""


def test_who_waits_for_his_turn_is_told_and_leaves_it() -> None:
    command = [sys.executable, "-W", "error", "-c", WAITING]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
