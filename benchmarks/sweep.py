"""``python -m benchmarks.sweep``: each adaptive part of the scheduler against fixed settings.

Over a grid of round trips and bandwidths (a relay in front of a web server on the loopback), the
same reads are made with the adaptive part and with each fixed setting, in turn and rotated. What is
shown is time in units of the best fixed setting's: 1 is as good, less is better. The tables go to
docs/design/sweep.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.process import PROCESS
from asynctensor.scheduler.gate import Gate
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.plan import GAP
from asynctensor.scheduler.read_queue import ReadQueue
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import ReadOptions
from benchmarks.web_server import serving
from tests.servers.delay_relay import DelayRelay, Way, delayed

ROUND_TRIPS = (0.0, 0.005, 0.030, 0.100)
BANDWIDTHS = (10e6, 100e6, 0.0)
GAPS = (0, 2**14, 2**16, 2**18, 2**20, 2**23)
LIMITS = (8, 32, 128, 256)
OBJECTS = 16
SIZE = 16 * 2**20
DOCUMENT = Path(__file__).parents[1] / "docs" / "design" / "sweep.md"

#: Makes the reads of one measurement through a queue.
Load: TypeAlias = Callable[[ReadQueue, random.Random], Coroutine[Any, Any, list[float]]]


@dataclass(frozen=True)
class Setting:
    """One way to read.

    Attributes:
        name: For readers.
        gap: Unwanted bytes between ranges that are requested as one.
        limit: The fixed number of requests under way; None: the adaptive one.
        hedges: Whether late reads are asked for again.
    """

    name: str
    gap: int = GAP
    limit: int | None = None
    hedges: bool = False

    def queue(self, url: str) -> ReadQueue:
        """A new queue of this setting, which has learnt nothing."""
        PROCESS.shared["gate"] = Gate(fixed=self.limit)
        store = HttpStore(Address(url.rstrip("/")), Exchange())
        hedging = Hedging() if self.hedges else None
        return ReadQueue(store.read, hedging, store.begin_read, gap=self.gap)


async def scattered(queue: ReadQueue, chance: random.Random) -> list[float]:
    """A batch of neighbouring ranges of all sizes, with gaps of all sizes between them."""
    spans, at = [], 0
    while True:
        size = int(2 ** chance.uniform(12, 20))
        if at + size > SIZE:
            break
        spans.append((at, at + size))
        at += size + int(2 ** chance.uniform(10, 20))
    began = time.perf_counter()
    await asyncio.gather(*(_read(queue, chance.randrange(4), span) for span in spans))
    return [time.perf_counter() - began]


async def many(queue: ReadQueue, chance: random.Random) -> list[float]:
    """A large read: 256 chunks of 64 KiB, far apart."""
    places = [(k % OBJECTS, (k // OBJECTS) * 2**20) for k in range(OBJECTS * 16)]
    chance.shuffle(places)
    began = time.perf_counter()
    await asyncio.gather(*(_read(queue, key, (at, at + 2**16)) for key, at in places))
    return [time.perf_counter() - began]


async def one_by_one(queue: ReadQueue, chance: random.Random) -> list[float]:
    """Eight readers of one small range after the other: the time of each read."""
    times = []

    async def reader() -> None:
        for _ in range(50):
            at = chance.randrange(SIZE - 2**14)
            began = time.perf_counter()
            await _read(queue, chance.randrange(OBJECTS), (at, at + 2**14))
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(reader() for _ in range(8)))
    return times


async def _read(queue: ReadQueue, key: int, span: tuple[int, int]) -> None:
    found = await queue.read(f"{key}", ReadOptions(ByteRange(*span)))
    assert len(found.value) == span[1] - span[0]


def compare(
    relay: DelayRelay, settings: Sequence[Setting], load: Load, rounds: int
) -> dict[str, list[float]]:
    """Times of each setting; they take turns, and the first round only warms up."""
    queues = {setting: setting.queue(relay.url) for setting in settings}
    gates = {}
    for setting in settings:
        queues[setting] = setting.queue(relay.url)
        gates[setting] = PROCESS.shared["gate"]
    found: dict[str, list[float]] = {setting.name: [] for setting in settings}
    for turn in range(rounds + 1):
        order = [*settings[turn % len(settings) :], *settings[: turn % len(settings)]]
        for setting in order:
            PROCESS.shared["gate"] = gates[setting]
            times = start(load, queues[setting], random.Random(turn)).result()
            if turn:
                found[setting.name] += times
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _way(round_trip: float, bandwidth: float) -> str:
    rate = f"{bandwidth / 1e6:.0f} MB/s" if bandwidth else "unlimited"
    return f"{round_trip * 1e3:.0f} ms, {rate}"


def _row(way: str, found: dict[str, list[float]]) -> list[str]:
    medians = {name: statistics.median(times) for name, times in found.items()}
    best = min(value for name, value in medians.items() if name != "as it is")
    cells = [f"{1000 * best:.0f} ms", *(f"{value / best:.2f}" for value in medians.values())]
    return [way, *cells]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sweep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds of a small grid")
    parser.add_argument("--part", choices=("gap", "concurrency", "hedging"), help="only this one")
    parser.add_argument("--rounds", type=int, help="values for each setting (5; quick: 3)")
    parser.add_argument("--round-trip", type=float, help="only this one, in milliseconds")
    parser.add_argument("--bandwidth", type=float, help="only this one, in MB/s; 0: unlimited")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    trips = (0.0, 0.030) if arguments.quick else ROUND_TRIPS
    grid = [
        (trip, width)
        for trip in trips
        for width in BANDWIDTHS
        if arguments.round_trip in (None, 1000 * trip)
        and arguments.bandwidth in (None, width / 1e6)
    ]
    gaps = [Setting("as it is"), *(Setting(f"{gap >> 10} KiB", gap=gap) for gap in GAPS)]
    limits = [Setting("as it is"), *(Setting(f"{limit}", limit=limit) for limit in LIMITS)]
    parts: list[str] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "served").mkdir()
        for k in range(OBJECTS):
            (folder / "served" / f"{k}").write_bytes(os.urandom(SIZE))
        server = stack.enter_context(serving(folder / "served", folder / "own"))
        port = urlsplit(server.url).port
        assert port is not None
        for part, settings, load in (
            ("gap", gaps, scattered),
            ("concurrency", limits, many),
        ):
            if arguments.part not in (None, part):
                continue
            rows = []
            for number, (trip, width) in enumerate(grid):
                own = folder / f"{part}-{number}"
                with delayed(own, port, Way(trip, width)) as relay:
                    rows.append(_row(_way(trip, width), compare(relay, settings, load, rounds)))
                print(f"{part}: {' | '.join(rows[-1])}", file=sys.stderr, flush=True)
            head = ["round trip, bandwidth", "best fixed", *(s.name for s in settings)]
            parts.append(f"## {part.capitalize()}\n\n{load.__doc__}\n\n{_table(head, rows)}")
        if arguments.part in (None, "hedging"):
            parts.append(_hedging(folder, port, grid, rounds))
    text = "\n\n".join(parts)
    print(text)
    if not arguments.part and len(grid) == len(ROUND_TRIPS) * len(BANDWIDTHS):
        DOCUMENT.write_text(f"{_HEAD}\n{text}\n", encoding="utf-8")
    return 0


def _hedging(folder: Path, port: int, grid: Sequence[tuple[float, float]], rounds: int) -> str:
    """One answer in eighty comes a second late: p99 of small reads, and requests made."""
    rows = []
    for number, (trip, width) in enumerate(grid):
        with delayed(folder / f"hedging-{number}", port, Way(trip, width, 0.0125, 1.0)) as relay:
            cells = [_way(trip, width)]
            for setting in (Setting("off"), Setting("on", hedges=True)):
                queue = setting.queue(relay.url)
                start(one_by_one, queue, random.Random(0)).result()
                relay.counts()
                times: list[float] = []
                for turn in range(rounds):
                    times += start(one_by_one, queue, random.Random(turn)).result()
                made = relay.counts()["requests"]
                cells += [f"{1000 * quantile(times, 0.5):.0f} ms"]
                cells += [f"{1000 * quantile(times, 0.99):.0f} ms", f"{made / len(times):.3f}"]
        rows.append(cells)
        print(f"hedging: {' | '.join(cells)}", file=sys.stderr, flush=True)
    head = ["round trip, bandwidth", "off: p50", "p99", "requests per read"]
    head += ["on: p50", "p99", "requests per read"]
    return f"## Hedging\n\n{_hedging.__doc__}\n\n{_table(head, rows)}"


_HEAD = """# The adaptive parts against fixed settings

Written by `make sweep`; do not edit. Round trip and bandwidth are those of a relay in front of a
web server on the loopback, which shares the processors with the reader. Times are in units of the
best fixed setting's median, which the second column gives: less is better, and 1 is as good.
"""


if __name__ == "__main__":
    raise SystemExit(main())
