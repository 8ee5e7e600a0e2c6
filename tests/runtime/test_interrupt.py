"""Ctrl-C: it reaches the main thread, whatever that waits for, and no thread of ours."""

from __future__ import annotations

import signal

PRELUDE = """
import asyncio, os, signal, sys, threading
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.workers import WorkerPool

# A shell has what it starts in the background ignore it, and Python would leave it at that.
signal.signal(signal.SIGINT, signal.default_int_handler)
unwound = []
def place():
    frame = sys._current_frames()[threading.main_thread().ident]
    return frame.f_code, frame.f_lasti

async def stuck():
    # Said by the work itself, once the main thread is blocked: it stays where it is.
    places = []
    while len(places) < 8 or len(set(places[-8:])) > 1:
        places.append(place())
        await asyncio.sleep(0.005)
    print("ready", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        unwound.append(1)

async def masked():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
"""


def interrupt(program, source: str) -> str:
    process = program.start(PRELUDE + source)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != "ready\n":
        raise AssertionError(program.finish(process))
    process.send_signal(signal.SIGINT)
    code, out, err = program.finish(process)
    assert (code, err) == (0, ""), (code, out, err)
    return out


def test_it_interrupts_result_and_the_work_goes_on(program) -> None:
    source = """
future = start(stuck)
try:
    future.result()
except KeyboardInterrupt:
    print("interrupted", future.done(), len(future._entries))
"""
    assert interrupt(program, source) == "interrupted False 0\n"


def test_it_interrupts_exception_with_a_timeout(program) -> None:
    source = """
try:
    start(stuck).exception(timeout=3600)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert interrupt(program, source) == "interrupted\n"


def test_it_interrupts_asyncio_run_and_cancels_the_work(program) -> None:
    source = """
async def main():
    await start(stuck)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", unwound)
"""
    assert interrupt(program, source) == "interrupted [1]\n"


def test_it_ends_a_program_that_does_not_catch_it(program) -> None:
    process = program.start(PRELUDE + "start(stuck).result()\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    code, _out, err = program.finish(process)
    assert code in (-signal.SIGINT, 1)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert err.count("Traceback") == 1


def test_no_thread_of_ours_takes_the_signal(program) -> None:
    source = (
        PRELUDE
        + """
pool = WorkerPool(1, "x")
async def on_worker():
    return await pool.run(lambda: signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
print(start(masked).result(), start(on_worker).result())
print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
"""
    )
    assert program(source) == "True True\nFalse\n"
