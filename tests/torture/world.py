"""One world: some clients, a workload, a store with faults, and the checker's judgement."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.deterministic_loop import DeterministicLoop, SimulationError, simulate
from asynctensor.testing.fault_presets import PRESETS, RELIABLE, Faults
from asynctensor.testing.history import Outcome
from asynctensor.testing.isolation_checker import Anomaly, check
from asynctensor.testing.store_faults import UnreliableStore
from tests.torture.domain import Domain
from tests.torture.recorder import Recorder
from tests.torture.workloads import WORKLOADS, Workload

#: Steps after which a world has hung: some hundred times as many as it needs.
_MOST_STEPS = 3_000_000


@dataclass(frozen=True, slots=True)
class World:
    """How one went.

    Attributes:
        seed: What gives it again.
        workload: What its clients did.
        faults: Which faults it had, by the name of the preset.
        outcomes: How many transactions ended how.
        counts: How often which fault occurred.
        anomalies: What must not be.
        steps: Of the loop.
        seconds: Of virtual time.
        signature: Equal for worlds that went the same way.
    """

    seed: int
    workload: str
    faults: str
    outcomes: Counter[Outcome]
    counts: Counter[str]
    anomalies: tuple[Anomaly, ...]
    steps: int
    seconds: float
    signature: int

    def __str__(self) -> str:
        found = "".join(f"\n  {anomaly}" for anomaly in self.anomalies)
        return f"seed {self.seed}, {self.workload}, {self.faults}, {dict(self.outcomes)}{found}"


def run_world(
    seed: int,
    make: Callable[[], Domain],
    *,
    base: Callable[[], KeyValueStore] = MemoryStore,
    workload: type[Workload] | None = None,
    faults: Faults | None = None,
) -> World:
    """Plays one world to its end, and judges it.

    Args:
        seed: Everything depends on it.
        make: The domain.
        base: The store below the faults.
        workload: What the clients do; the seed chooses if it is not given.
        faults: What goes wrong; the seed chooses if it is not given.
    """
    chance = random.Random(f"world {seed}")
    domain = make()
    preset = chance.choice(list(domain.bears))
    scale = chance.choice((0.3, 1.0, 3.0))
    wrong = PRESETS[preset].scaled(scale) if faults is None else faults
    work = (chance.choice(WORKLOADS) if workload is None else workload)(chance)
    loop = DeterministicLoop(seed, most_steps=_MOST_STEPS)
    store = UnreliableStore(base(), RELIABLE, seed=seed)
    recorder = Recorder(domain)
    began = loop.time()
    anomalies: list[Anomaly] = []

    async def main() -> None:
        await domain.create(store)
        await work.prepare(recorder)
        store.faults = wrong
        await _play(recorder, work, chance)
        await store.settled()
        store.faults = RELIABLE
        final = await recorder.final(work.lists, work.registers)
        anomalies.extend(check(recorder.history, final=final, realtime=domain.realtime))
        anomalies.extend(work.invariants(recorder.history))
        anomalies.extend(Anomaly("verify", (), text) for text in await domain.verify())

    try:
        simulate(main, seed, loop=loop)
    except SimulationError as error:
        anomalies.append(Anomaly(type(error).__name__, (), str(error)))
    return World(
        seed,
        work.name,
        preset if faults is None else "given",
        recorder.outcomes,
        store.counts,
        tuple(anomalies),
        loop.steps,
        loop.time() - began,
        loop.signature,
    )


async def _play(recorder: Recorder, work: Workload, chance: random.Random) -> None:
    """Lets the clients do their transactions, at the same time and with pauses."""
    clients, each = chance.randint(2, 8), chance.randint(3, 12)
    pause = chance.choice((0.0, 0.01, 0.2))
    #: How many clients go away in the middle of a transaction.
    leaving = chance.choice((0.0, 0.0, 0.1, 0.3))

    async def client(number: int) -> None:
        for _ in range(each):
            patience = float("inf")
            if chance.random() < leaving:
                patience = chance.random() * 0.3
            await recorder.transact(number, work.body, patience=patience)
            await asyncio.sleep(pause * chance.random())

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
