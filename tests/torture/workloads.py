"""What the clients of a world do, and what must hold for it besides isolation."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from asynctensor.testing.history import Transacted
from asynctensor.testing.isolation_checker import Anomaly, check_invariant
from tests.torture.recorder import Recorded, Recorder, number_of


class Workload(ABC):
    """One kind of transactions.

    Args:
        chance: What its choices depend on.
    """

    name: ClassVar[str]

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    @property
    def lists(self) -> list[str]:
        """Keys that hold lists."""
        return []

    @property
    def registers(self) -> list[str]:
        """Keys that hold numbers."""
        return []

    async def prepare(self, recorder: Recorder) -> None:  # noqa: B027 -- most need nothing
        """Fills what must be there before; nothing fails meanwhile."""

    @abstractmethod
    async def body(self, transaction: Recorded) -> None:
        """What one transaction does."""

    def invariants(self, history: Sequence[Transacted]) -> list[Anomaly]:
        """What else was wrong."""
        return []


class ListAppend(Workload):
    """Reads of lists and appends to them."""

    name = "list-append"

    @property
    def lists(self) -> list[str]:
        return [f"list/{at}" for at in range(4)]

    async def body(self, transaction: Recorded) -> None:
        for _ in range(self.chance.randint(1, 4)):
            key = self.chance.choice(self.lists)
            if self.chance.random() < 0.5:
                await transaction.append(key)
            else:
                await transaction.read_list(key)


class Registers(Workload):
    """Reads and writes of registers; some writes without a look."""

    name = "registers"

    @property
    def registers(self) -> list[str]:
        return [f"register/{at}" for at in range(4)]

    async def body(self, transaction: Recorded) -> None:
        for _ in range(self.chance.randint(1, 3)):
            key = self.chance.choice(self.registers)
            if self.chance.random() < 0.8:
                await transaction.read(key)
            if self.chance.random() < 0.6:
                await transaction.write(key, self.chance.randrange(100))


class Bank(Workload):
    """Transfers between accounts, and audits that read them all."""

    name = "bank"
    TOTAL = 400

    @property
    def registers(self) -> list[str]:
        return [f"account/{at}" for at in range(4)]

    async def prepare(self, recorder: Recorder) -> None:
        async def fill(transaction: Recorded) -> None:
            for key in self.registers:
                await transaction.write(key, self.TOTAL // len(self.registers))

        await recorder.transact(-1, fill)

    async def body(self, transaction: Recorded) -> None:
        if self.chance.random() < 0.3:
            for key in self.registers:
                await transaction.read(key)
            return
        source, target = self.chance.sample(self.registers, 2)
        has, gets = await transaction.read(source), await transaction.read(target)
        amount = self.chance.randint(0, has or 0)
        await transaction.write(source, (has or 0) - amount)
        await transaction.write(target, (gets or 0) + amount)

    def invariants(self, history: Sequence[Transacted]) -> list[Anomaly]:
        def holds(values: tuple[str, ...]) -> bool:
            numbers = [number_of(value) for value in values]
            return sum(numbers) == self.TOTAL and min(numbers) >= 0

        return check_invariant(history, self.registers, holds, "bank")


class OnCall(Workload):
    """Of two doctors one must stay on call; each leaves only if the other is there."""

    name = "on-call"

    @property
    def registers(self) -> list[str]:
        return ["doctor/0", "doctor/1"]

    async def prepare(self, recorder: Recorder) -> None:
        async def fill(transaction: Recorded) -> None:
            for key in self.registers:
                await transaction.write(key, 1)

        await recorder.transact(-1, fill)

    async def body(self, transaction: Recorded) -> None:
        present = [await transaction.read(key) for key in self.registers]
        if all(present):
            await transaction.write(self.chance.choice(self.registers), 0)
        else:
            absent = next(at for at, there in enumerate(present) if not there)
            await transaction.write(self.registers[absent], 1)

    def invariants(self, history: Sequence[Transacted]) -> list[Anomaly]:
        def holds(values: tuple[str, ...]) -> bool:
            return any(number_of(value) for value in values)

        return check_invariant(history, self.registers, holds, "write-skew")


WORKLOADS: tuple[type[Workload], ...] = (ListAppend, Registers, Bank, OnCall)
