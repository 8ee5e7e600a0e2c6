"""`Repository.retry` where the store does not answer a commit: it happens once all the same."""

from __future__ import annotations

import pytest

import asynctensor as at
from asynctensor.errors import Aborted, CommitUnknown, Unavailable
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore

#: Attempts at a slot, and looks at it, until its outcome counts as unknown.
ATTEMPTS = 4


class Counting:
    """A repository over a store that can be struck dumb, and a count that transactions keep in it.

    Attributes:
        runs: How often the transaction was run.
    """

    def __init__(self) -> None:
        self.base = FaultyStore(MemoryStore())
        self.repo = self.opened()
        self.runs = 0

    def opened(self) -> at.Repository:
        """Another process's."""
        state = RepositoryState(place_of(self.base, ""))
        return at.Repository(state, KvStoreSpec.of("memory", "lab/"), at.Context())

    def dumb(self, *, landed: bool, times: int = ATTEMPTS) -> None:
        """The next commit is not answered, whether its record is written or not."""
        silent = False

        def asked(key: str) -> bool:
            return silent and key.startswith("log/")

        def sent(key: str) -> bool:
            nonlocal silent
            silent = silent or key.startswith("log/")
            return asked(key)

        error = Unavailable("no answer")
        self.base.fail("write", error, when=sent, times=times, after=landed)
        self.base.fail("read", error, when=asked, times=times)

    async def one_more(self, txn: at.Transaction) -> int:
        self.runs += 1
        store = self.repo.kvstore(transaction=txn)
        found = await store.read("count")
        count = int(found.value or b"0") + 1
        await store.write("count", b"%d" % count)
        return count

    async def messages(self) -> list[str | None]:
        return [each.message async for each in self.opened().log()]


@pytest.fixture
async def counting() -> Counting:
    made = Counting()
    await start(made.repo._state.create)
    assert await made.repo.retry(made.one_more, message="first") == 1
    return made


async def test_what_landed_unanswered_is_not_done_again(counting: Counting) -> None:
    counting.dumb(landed=True)
    transactions: list[at.Transaction] = []

    async def kept(txn: at.Transaction) -> int:
        transactions.append(txn)
        return await counting.one_more(txn)

    assert await counting.repo.retry(kept, message="unheard") == 2
    assert counting.runs == 2
    assert await counting.messages() == ["unheard", "first"]
    (transaction,) = transactions
    assert transaction.commit_id == (await anext(aiter(counting.opened().log()))).id


async def test_what_was_lost_is_done_again(counting: Counting) -> None:
    counting.dumb(landed=False)
    assert await counting.repo.retry(counting.one_more, message="again") == 2
    assert counting.runs == 3
    assert await counting.messages() == ["again", "first"]
    counting.dumb(landed=False)
    with pytest.raises(Aborted, match="did not answer"):
        await counting.repo.retry(counting.one_more, attempts=1)
    assert await counting.messages() == ["again", "first"]


@pytest.mark.parametrize("landed", [False, True])
async def test_a_store_that_stays_silent_is_not_asked_for_more(
    counting: Counting, landed: bool
) -> None:
    counting.dumb(landed=landed, times=1000)
    with pytest.raises(CommitUnknown) as caught:
        await counting.repo.retry(counting.one_more, message="unheard")
    assert counting.runs == 2
    other = counting.opened()
    counting.base._faults.clear()
    assert await other.resolve(caught.value) == ("committed" if landed else "aborted")
    assert await counting.messages() == ["unheard"] * landed + ["first"]


async def test_another_transaction_of_the_function_is_its_own_affair(counting: Counting) -> None:
    counting.dumb(landed=True)

    async def writes_elsewhere(txn: at.Transaction) -> None:
        counting.runs += 1
        await counting.repo.kvstore().write("beside", b"1")

    with pytest.raises(CommitUnknown):
        await counting.repo.retry(writes_elsewhere)
    assert counting.runs == 2


async def test_a_function_may_end_its_transaction_itself(counting: Counting) -> None:
    async def commits(txn: at.Transaction) -> int:
        count = await counting.one_more(txn)
        await txn.commit_async()
        return count

    async def aborts(txn: at.Transaction) -> int:
        count = await counting.one_more(txn)
        txn.abort()
        return count

    assert await counting.repo.retry(commits) == 2
    assert await counting.repo.retry(aborts) == 3
    assert await counting.repo.retry(counting.one_more) == 3


async def test_with_a_callers_key_it_is_done_once(counting: Counting) -> None:
    for _ in range(2):
        await counting.repo.retry(counting.one_more, message="job", caller_key="job 1")
    assert await counting.messages() == ["job", "first"]
    counting.repo = counting.opened()
    await counting.repo.retry(counting.one_more, message="job", caller_key="job 1")
    await counting.repo.retry(counting.one_more, message="job", caller_key="job 2")
    assert await counting.messages() == ["job", "job", "first"]
    assert (await counting.repo.kvstore().read("count")).value == b"3"
