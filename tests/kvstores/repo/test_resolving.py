"""What `resolve` answers where the log cannot be read any more (R5)."""

from __future__ import annotations

import pytest

from asynctensor.errors import CommitUnknown, Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.resolving import resolve
from tests.kvstores.repo.holes.wire import Process, crew, play

#: Of the commit that nobody answers; the one before it was committed behind its base, too.
MINE = 3
DAMAGED = {"one before": 2, "its own": MINE, "one behind": 4}


@pytest.mark.parametrize("damaged", ["nothing", *DAMAGED])
@pytest.mark.parametrize("landed", [True, False])
def test_where_records_since_the_base_are_damaged(landed: bool, damaged: str) -> None:
    """What stands in a record that can be read is believed, and nothing is guessed."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        branch = await a.branch()
        slot = objects.log_slot(branch.id, MINE)
        await a.lose_once(b)

        async def no_answer() -> None:
            a.wire.deaf("read", slot, times=10)
            raise Unavailable("no answer")

        (a.wire.after if landed else a.wire.before)("write", slot, no_answer, times=10)
        with pytest.raises(CommitUnknown) as caught:
            await a.put("k")
        assert caught.value.base == 1
        await b.put("behind")
        await b.put("behind that")
        if damaged != "nothing":
            where = objects.log_slot(branch.id, DAMAGED[damaged])
            body = (await base.read(where)).value
            await base.write(where, body[:-1] + bytes([body[-1] ^ 1]))
        answers = [await resolve(Process(base).state, caught.value) for _ in range(2)]
        if damaged == "nothing":
            expected = "committed" if landed else "aborted"
        else:
            expected = "committed" if landed and damaged != "its own" else "unknown"
        assert answers == [expected] * 2

    play(trace)
