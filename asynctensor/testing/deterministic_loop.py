"""An event loop on which the same seed gives the same run: virtual time, seeded order, no threads.

`simulate` runs a coroutine and everything that it starts on a `DeterministicLoop`::

    def test_two_writers() -> None:
        for seed in range(100):
            simulate(lambda: two_writers(MemoryStore()), seed)

- *Time* stands still while anything can run, apart from a microsecond per step, and then jumps to
  the next timer: hours of waiting take no time. asynctensor's clock (`runtime.clock`) shows it.
- *Order*: tasks that can run are chosen by a seeded `Schedule`. Callbacks that belong to no task
  keep the order among themselves that asyncio promises.
- *Chance*: `runtime.entropy` and the `random` module are seeded.
- *Threads* are banned. What worker pools and executors were given runs on the loop itself, a
  little later; what another thread hands to the loop is refused.
- asynctensor's own I/O loop is this loop meanwhile, so that Futures, `Transaction` and the methods
  of stores work as they are. Sockets do not.

Nothing else of asynctensor may be in use in the process during a simulation.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
from asyncio.base_events import BaseEventLoop
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from asynctensor.runtime.event_loop import IoLoop
from asynctensor.runtime.process import PROCESS, ThreadState
from asynctensor.runtime.sources import SOURCES
from asynctensor.testing.schedule import Schedule

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Where virtual time begins: an arbitrary monotonic time, and 2027-01-15 08:00 UTC.
_START = 1000.0
_EPOCH = 1_800_000_000.0
#: Virtual seconds that one step takes, so that waiting in a busy loop ends at its deadline.
_STEP = 1e-6
#: The longest that a piece of a worker's work takes.
_WORK = 1e-3
#: Seconds in which a loop of the runtime's own comes to rest.
_PATIENCE = 30.0
#: Steps after which a run counts as one that never ends.
_MOST_STEPS = 5_000_000


class SimulationError(AssertionError):
    """What was simulated did something that it must not do."""


class Deadlock(SimulationError):
    """Everything waits, and nothing will happen."""


class Livelock(SimulationError):
    """It goes on and on."""


class DeterministicLoop(BaseEventLoop):
    """The loop. See the module; `simulate` makes and ends one.

    Args:
        seed: What its order depends on.
        most_steps: Steps after which it raises `Livelock`.

    Attributes:
        steps: Callbacks run so far, the steps of tasks among them.
        signature: A number that depends on every choice made so far: equal in equal runs.
        failures: What callbacks raised, or what the loop was told of.
    """

    # asyncio's own, which type stubs do not show.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, seed: int, *, most_steps: int = _MOST_STEPS) -> None:
        super().__init__()
        self.schedule = Schedule(seed)
        self.steps = 0
        self.signature = 0
        self.failures: list[dict[str, Any]] = []
        self._most_steps = most_steps
        self._now = _START
        self._thread = threading.get_ident()
        #: What can run, by lane: lane 0 has what belongs to no task, each other one task's step.
        self._lanes: dict[int, deque[asyncio.Handle]] = {}
        self._numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._tasks_seen = 0
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    # -- time -----------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def unix_time(self) -> float:
        """The same since the Unix epoch."""
        return _EPOCH + (self._now - _START)

    # -- one step -------------------------------------------------------------------------------

    def _run_once(self) -> None:
        self._take_in_what_is_ready()
        while not self._lanes:
            self._jump()
            self._take_in_what_is_ready()
        lanes = list(self._lanes)
        lane = lanes[self.schedule.choose(lanes)]
        handles = self._lanes[lane]
        handle = handles.popleft()
        if not handles:
            del self._lanes[lane]
        self.steps += 1
        self._now += _STEP
        self.signature = hash((self.signature, lane, self._now))
        if self.steps > self._most_steps:
            raise Livelock(f"no end after {self._most_steps} steps; {self._whereabouts()}")
        if not handle.cancelled():
            handle._run()

    def _take_in_what_is_ready(self) -> None:
        while self._scheduled and self._scheduled[0].when() <= self._now:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(timer)
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                self._lanes.setdefault(self._lane_of(handle), deque()).append(handle)

    def _lane_of(self, handle: asyncio.Handle) -> int:
        task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
        if not isinstance(task, asyncio.Task):
            return 0
        number = self._numbers.get(task)
        if number is None:
            self._tasks_seen += 1
            number = self._numbers[task] = self._tasks_seen
            task.add_done_callback(lambda _: self.schedule.forget(number))
        return number

    def _jump(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not self._scheduled:
            raise Deadlock(f"everything waits, and nothing will happen; {self._whereabouts()}")
        self._now = max(self._now, self._scheduled[0].when())

    def _whereabouts(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: self._numbers.get(task, 0))
        stands = []
        for task in tasks:
            frames = task.get_stack(limit=1)
            where = f"{frames[0].f_code.co_qualname}:{frames[0].f_lineno}" if frames else "?"
            stands.append(f"{task.get_name()} at {where}")
        return f"{len(tasks)} tasks: {', '.join(stands)}"

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are left out when their time comes."""

    # -- no threads -----------------------------------------------------------------------------

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As `call_soon`, for the loop's own thread only."""
        if threading.get_ident() != self._thread:
            raise SimulationError(f"a thread called into a simulation: {callback!r}")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Calls the function on the loop, a little later."""
        future: asyncio.Future[T] = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 -- raised where it is awaited
                future.set_exception(error)

        self.call_later(self.schedule.pause(_WORK), call)
        return future

    def work(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        """What worker pools hand their work to."""
        self.call_later(self.schedule.pause(_WORK), function, *args)

    def _process_events(self, event_list: object) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody waits who would have to be woken."""


def simulate(
    main: Callable[[], Coroutine[Any, Any, T]],
    seed: int,
    *,
    most_steps: int = _MOST_STEPS,
    loop: DeterministicLoop | None = None,
) -> T:
    """Runs ``main()`` to its end on a loop of its own.

    What it started and did not wait for is cancelled then.

    Args:
        main: A coroutine function without arguments.
        seed: Order and chance depend on it, and on nothing else. (The order of sets of strings
            differs between processes, unless ``PYTHONHASHSEED`` is set.)
        most_steps: After so many it has failed.
        loop: The loop to use, for whoever wants to look at it afterwards; a new one if not given.

    Raises:
        Deadlock, Livelock: It does not come to an end.
        SimulationError: A callback raised something, or a task that nobody awaited; or there is a
            running loop already.
        BaseException: What `main` raises.
    """
    if PROCESS.instead_of_workers is not None or _get_running_loop() is not None:
        raise SimulationError("another loop, or another simulation, is running here already")
    loop = DeterministicLoop(seed, most_steps=most_steps) if loop is None else loop
    with _own_loops_held(), _installed(loop, seed):
        task = None
        try:
            task = loop.create_task(main())
            result = loop.run_until_complete(task)
        finally:
            _end(loop, task)
    for failure in loop.failures:
        raise SimulationError(
            f"{failure['message']} ({failure.get('exception')!r})"
        ) from failure.get("exception")
    return result


def _end(loop: DeterministicLoop, main: asyncio.Task[Any] | None) -> None:
    left = asyncio.all_tasks(loop)
    for task in sorted(left, key=lambda task: loop._numbers.get(task, 0)):
        task.cancel()
    if main is not None and main in left:
        # The loop itself failed; what failed is being raised.
        loop.set_exception_handler(lambda *_: None)
    else:
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
    for task in left:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            loop.failures.append({"message": f"{task.get_name()} failed", "exception": error})
    loop.close()


@contextmanager
def _own_loops_held() -> Iterator[None]:
    """Keeps the runtime's own loops from running meanwhile.

    What still goes on there, after some test, would take its time from the simulation, and hand
    work to it that nobody does once it has ended.
    """
    owners = [owner for owner in (PROCESS.io, PROCESS.guests) if owner is not None]
    go = threading.Event()
    for owner in owners:
        if isinstance(owner, IoLoop) and not owner.is_own:
            continue
        held = threading.Event()
        try:
            owner.loop.call_soon_threadsafe(_hold, held, go)
        except RuntimeError:
            # It is closed.
            continue
        held.wait(_PATIENCE)
    try:
        yield
    finally:
        go.set()


def _hold(held: threading.Event, go: threading.Event) -> None:
    held.set()
    go.wait()


@contextmanager
def _installed(loop: DeterministicLoop, seed: int) -> Iterator[None]:
    """Makes the process take its time, its chance and its I/O loop from `loop`."""
    names = ("io", "shared", "closers", "instead_of_workers")
    before = {name: getattr(PROCESS, name) for name in names}
    sources = {name: getattr(SOURCES, name) for name in SOURCES.__slots__}
    known = random.getstate()
    random.seed(seed)
    PROCESS.io = IoLoop(loop)
    # This thread's part alone: what others are about to do for those that wait stays noted.
    mine = vars(PROCESS.local)
    kept = dict(mine)
    mine.update(vars(ThreadState()))
    PROCESS.shared, PROCESS.closers = {}, []
    SOURCES.monotonic, SOURCES.time = loop.time, loop.unix_time
    SOURCES.random_bytes = random.Random(f"entropy {seed}").randbytes  # noqa: S311
    PROCESS.instead_of_workers = loop.work
    try:
        yield
    finally:
        mine.update(kept)
        for name, value in before.items():
            setattr(PROCESS, name, value)
        for name, source in sources.items():
            setattr(SOURCES, name, source)
        random.setstate(known)
