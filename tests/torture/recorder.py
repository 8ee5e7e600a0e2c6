"""Does transactions for the workloads, and writes down what they did, saw and were told."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from asynctensor.errors import Aborted, CommitUnknown, DeadlineExceeded, Unavailable
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.testing.history import Append, Operation, Outcome, Read, Transacted, Write
from tests.torture.domain import Domain, Session


class Recorded:
    """One transaction, as a workload uses it."""

    def __init__(self, session: Session, recorder: Recorder) -> None:
        self._session = session
        self._recorder = recorder
        self.operations: list[Operation] = []

    async def _load(self, key: str) -> Any:
        data = await self._session.read(key)
        return None if data is None else json.loads(data)

    async def read_list(self, key: str) -> tuple[int, ...]:
        """All that was appended."""
        seen = tuple(await self._load(key) or ())
        self.operations.append(Read(key, seen))
        return seen

    async def append(self, key: str) -> None:
        """Appends a value that nobody else appends."""
        value = self._recorder.unique()
        values = [*(await self._load(key) or ()), value]
        await self._session.write(key, json.dumps(values).encode())
        self.operations.append(Append(key, value))

    async def read(self, key: str) -> int | None:
        """The number in a register; None: never written."""
        found = await self._load(key)
        self.operations.append(Read(key, None if found is None else tagged(found)))
        return None if found is None else int(found[0])

    async def write(self, key: str, number: int) -> None:
        """Puts a number into a register, with a tag that makes it unique."""
        found = [number, self._recorder.unique()]
        await self._session.write(key, json.dumps(found).encode())
        self.operations.append(Write(key, tagged(found)))


def tagged(found: list[int]) -> str:
    """A register's value as the checker is to see it: no tuple, which would be a list."""
    return f"{found[0]}#{found[1]}"


def number_of(value: str | None) -> int:
    """The number in such a value."""
    return 0 if value is None else int(value.partition("#")[0])


class Recorder:
    """All transactions of one world.

    Attributes:
        history: What the checker judges.
        outcomes: How many ended how.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._serial = itertools.count(1)
        self.history: list[Transacted] = []
        self.outcomes: Counter[Outcome] = Counter()

    def unique(self) -> int:
        """A number that is given out once."""
        return next(self._serial)

    async def transact(
        self,
        client: int,
        body: Callable[[Recorded], Awaitable[None]],
        *,
        patience: float = float("inf"),
    ) -> Outcome:
        """Runs one transaction to its end.

        Args:
            client: Whose it is.
            body: Reads and writes.
            patience: Seconds after which its client gives up and goes away.
        """
        began = SYSTEM_CLOCK.monotonic()
        operations: list[Operation] = []
        committing = False
        outcome = Outcome.ABORTED
        try:
            async with asyncio.timeout(None if patience == float("inf") else patience):
                session = await self._domain.begin(client)
                recorded = Recorded(session, self)
                operations = recorded.operations
                try:
                    await body(recorded)
                except BaseException:
                    await session.abort()
                    raise
                committing = True
                await session.commit()
                outcome = Outcome.COMMITTED
        except Aborted:
            outcome = Outcome.ABORTED
        except (CommitUnknown, Unavailable, TimeoutError) as error:
            # A deadline of the library's own says that nothing was done; going away says nothing.
            known = isinstance(error, DeadlineExceeded) or not committing
            outcome = Outcome.ABORTED if known else Outcome.UNKNOWN
        name = f"{len(self.history)}.{client}"
        ended = SYSTEM_CLOCK.monotonic()
        self.history.append(Transacted(name, tuple(operations), outcome, began, ended))
        self.outcomes[outcome] += 1
        return outcome

    async def final(self, lists: list[str], registers: list[str]) -> dict[str, Any]:
        """What is there when all has ended."""
        session = await self._domain.begin(-1)
        recorded = Recorded(session, self)
        for key in lists:
            await recorded.read_list(key)
        for key in registers:
            await recorded.read(key)
        await session.abort()
        return {read.key: read.value for read in recorded.operations if isinstance(read, Read)}
