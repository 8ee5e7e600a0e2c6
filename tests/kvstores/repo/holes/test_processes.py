"""Four real processes commit to one repository on files: nothing is lost, and nothing doubled."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import asynctensor as at

_WRITERS = 4
_ROUNDS = 8
_WRITER = """
import asyncio, json, sys
import asynctensor as at
from asynctensor.errors import Aborted

async def main(place, name):
    repo = await at.Repository.open(place)
    store = repo.kvstore()
    refused = 0
    for i in range({rounds}):
        await asyncio.gather(*(store.write(f"{{name}}/{{i}}/{{j}}", b"x") for j in range(3)))
        while True:
            await repo.refresh()
            try:
                async with repo.transaction() as txn:
                    view = store.with_transaction(txn)
                    found = await view.read("all")
                    names = json.loads(found.value) if found.state == "value" else []
                    await view.write("all", json.dumps([*names, f"{{name}}/{{i}}"]).encode())
                break
            except Aborted:
                refused += 1
    print(refused)

asyncio.run(main(*sys.argv[1:]))
"""


def _run_all(script: str, place: str) -> list[tuple[int, str]]:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, place, f"w{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(_WRITERS)
    ]
    printed = [process.communicate(timeout=120)[0] for process in running]
    return list(zip([process.returncode for process in running], printed, strict=True))


async def test_four_processes_on_files(tmp_path) -> None:
    place = f"file://{tmp_path}/lab/"
    repo = await at.Repository.open(place, create=True)
    script = _WRITER.format(rounds=_ROUNDS)
    printed = await asyncio.to_thread(_run_all, script, place)
    assert [code for code, _ in printed] == [0] * _WRITERS, printed
    await repo.refresh()
    store = repo.kvstore()
    mine = [f"w{w}/{i}" for w in range(_WRITERS) for i in range(_ROUNDS)]
    everything = [f"{each}/{j}" for each in mine for j in range(3)]
    listed = [key.decode() for key in await store.list()]
    assert sorted(listed) == sorted(["all", *everything])
    appended = json.loads((await store.read("all")).value)
    assert sorted(appended) == sorted(mine)
    for w in range(_WRITERS):
        own = [each for each in appended if each.startswith(f"w{w}/")]
        assert own == [f"w{w}/{i}" for i in range(_ROUNDS)]
    commits = [each async for each in repo.log()]
    assert len(commits) == len(everything) + len(mine)
