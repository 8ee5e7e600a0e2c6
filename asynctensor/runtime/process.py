"""What belongs to this process and to no other: the one piece of module-level state.

Everything here is made anew in a forked child, because what it names (threads, event loops, locks
that some other thread held) stayed behind in the parent. Objects that outlive a fork remember the
`epoch` in which they were made and compare it on their slow paths.
"""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias
from weakref import ReferenceType, WeakKeyDictionary, WeakSet

#: Takes a function and its arguments, and has it called where workers would have.
Work: TypeAlias = Callable[[Callable[..., object], "tuple[Any, ...]"], None]


class HasLoop(Protocol):
    """Whatever owns a loop (`event_loop.IoLoop`, `guest_loop.GuestLoop`)."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The loop."""
        ...


class AfterFork(Protocol):
    """What has locks that a thread may hold while another one forks."""

    def after_fork(self) -> None:
        """Makes its locks anew, and forgets what was going on in the parent."""
        ...


class ThreadState(threading.local):
    """What each thread keeps for itself.

    Attributes:
        turn: What was collected in the current turn of this thread's loop (`turn.Turn`).
        breath_until: When a task that awaits only finished futures should next let its loop run.
        breath_loop: The loop that is about to run because of that; None if none is.
        gil_given: When a worker last gave up the GIL.
        unwoken: Inboxes that were posted to and will be woken together; None where each is woken
            at once (`inbox.waking_together`).
        inbox: The inbox that it asked for last.
        together: Names the jobs that are being begun, all of which were submitted before the first
            of them began (`event_loop.IoLoop`); None while none is.
    """

    def __init__(self) -> None:
        self.turn: Any = None
        self.breath_until = 0.0
        self.breath_loop: AbstractEventLoop | None = None
        self.gil_given = 0.0
        self.unwoken: list[Any] | None = None
        self.inbox: Any = None
        self.together: object = None


class Process:
    """The state of this process.

    Attributes:
        epoch: Counts the forks between the first process and this one.
        lock: Held for moments while one of the fields below is filled in.
        local: What each thread keeps for itself.
        inboxes: The inbox of each event loop that something was posted to.
        io: The I/O loop's owner, once there is one.
        guests: The guest loop's owner, once there is one.
        exiting: Whether the interpreter is shutting down, so that nothing new may start.
        shared: Objects of which a process has one, by name (the shared worker pools).
        pools: The worker pools that have threads.
        pools_ended: How often all of them were stopped: what they were doing then may never end.
        counters: What was done so far, by name (`counters.Counter`); a forked child goes on from
            its parent's counts.
        counter_listeners: Who is told of each new counter, with `counters.each_counter`.
        verbose_flags: Switches of messages, by name (`verbose_flag.VerboseFlag`).
        closers: Coroutine functions to await on the I/O loop before it stops.
        ends_with_interpreter: Whether the interpreter will end the I/O loop when it exits.
        pools_end_with_interpreter: The same of the worker pools.
        jobs: The jobs that were begun and have not ended (`job.Job`).
        loose_tasks: Tasks that nobody awaits (`loose_tasks.loose_task`).
        requests: The requests of many pieces that were begun and have not ended
            (`unfinished.Unfinished`), by weak references.
        instead_of_workers: Where no thread may be started (a simulation), what does the work of
            all worker pools; None otherwise.
    """

    __slots__ = (
        "_left_behind",
        "_surviving",
        "closers",
        "counter_listeners",
        "counters",
        "ends_with_interpreter",
        "epoch",
        "exiting",
        "guests",
        "inboxes",
        "instead_of_workers",
        "io",
        "jobs",
        "local",
        "lock",
        "loose_tasks",
        "pools",
        "pools_end_with_interpreter",
        "pools_ended",
        "requests",
        "shared",
        "verbose_flags",
    )

    def __init__(self) -> None:
        self.epoch = 0
        self.ends_with_interpreter = False
        self.pools_end_with_interpreter = False
        self._left_behind: list[object] = []
        self._surviving: WeakSet[Any] = WeakSet()
        self.counters: dict[str, Any] = {}
        self.counter_listeners: list[Callable[[Any], object]] = []
        self.verbose_flags: dict[str, Any] = {}
        self._empty()

    def _empty(self) -> None:
        # Re-entrant: the garbage collector may run a finaliser that comes here again.
        self.lock = threading.RLock()
        self.local = ThreadState()
        self.inboxes: WeakKeyDictionary[AbstractEventLoop, Any] = WeakKeyDictionary()
        self.io: HasLoop | None = None
        self.guests: HasLoop | None = None
        self.exiting = False
        self.shared: dict[str, object] = {}
        self.pools: WeakSet[Any] = WeakSet()
        self.pools_ended = 0
        self.closers: list[Callable[[], Any]] = []
        self.jobs: set[Any] = set()
        self.loose_tasks: set[Any] = set()
        self.requests: set[ReferenceType[Any]] = set()
        self.instead_of_workers: Work | None = None

    def survives(self, item: AfterFork) -> None:
        """Has ``item.after_fork()`` called in a forked child, as long as `item` lives."""
        self._surviving.add(item)

    def begin_anew(self) -> None:
        """Called in a forked child: forgets all that stayed behind in the parent."""
        # The old loops must not be finalised here: they believe themselves running.
        self._left_behind += [self.io, self.guests]
        self.epoch += 1
        self._empty()
        for item in list(self._surviving):
            item.after_fork()


PROCESS = Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.begin_anew)
