"""A transaction in a forked child: it is its parent's, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import ROOT

PRELUDE = """
import os, sys, threading
from pathlib import Path
import asynctensor as at
from asynctensor.errors import FailedPrecondition

repo = at.Repository.open(Path(sys.argv[1]), create=True).result()
with repo.transaction(message="made") as made:
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("a/")}
    array = at.open(spec, transaction=made, create=True, dtype="int8", shape=[4]).result()
array = array.with_transaction(None)
transaction = repo.transaction(message="parent")
bound = array.with_transaction(transaction)
bound[0].write(1).result()

def refused(function):
    try:
        function()
    except FailedPrecondition as error:
        assert "forked" in str(error), error
    else:
        raise AssertionError(function)

def in_child(function):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
END = """
transaction.commit_sync()
assert array.read().result().tolist() == [1, 0, 0, 0]
print("committed")
"""

PROGRAMS = {
    "staging, reading and committing are refused": """
def child():
    refused(lambda: array.with_transaction(transaction))
    refused(lambda: bound[1].write(2).result())
    refused(lambda: bound.read().result())
    refused(lambda: bound.append([1]).result())
    refused(lambda: repo.kvstore(transaction=transaction).write("key", b"value").result())
    refused(transaction.share)
    refused(transaction.commit_async)
    refused(transaction.commit_sync)
in_child(child)
""",
    "aborting, or leaving its block by an error, does nothing": """
def child():
    transaction.abort()
    try:
        with transaction:
            raise KeyError
    except KeyError:
        pass
    refused(lambda: bound[1].write(2).result())
transaction.share()
in_child(child)
""",
    "nobody waits for a lock that a thread of the parent holds": """
held, done = threading.Event(), threading.Event()
def hold():
    with transaction._lock:
        held.set()
        done.wait()
holder = threading.Thread(target=hold)
holder.start()
held.wait()
def child():
    refused(lambda: bound[1].write(2).result())
    refused(transaction.commit_sync)
    transaction.abort()
in_child(child)
done.set()
holder.join()
""",
    "a part that the parent joined is not finished": """
part = at.Transaction.join(transaction.share()).result()
array.with_transaction(part)[1].write(0).result()
in_child(lambda: refused(lambda: part.finish().result()))
part.abort()
""",
    "a child has transactions of its own, and joins by a token": """
token = transaction.share()
def child():
    with repo.transaction(message="child") as own:
        repo.kvstore(transaction=own).write("key", b"value").result()
    with at.Transaction.join(token).result() as part:
        spec = {"driver": "zarr3", "kvstore": {**token.store, "path": "a/"}}
        joined = at.open(spec, transaction=part).result()
        assert joined.read().result().tolist() == [0, 0, 0, 0]
        part.finish(worker="child").result()
in_child(child)
""",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_transaction_is_of_the_process_that_began_it(tmp_path: Path, what: str) -> None:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + PROGRAMS[what] + END, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "committed\n", "")
