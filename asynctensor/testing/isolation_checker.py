"""Finds out from what transactions did and saw whether they were isolated from each other.

As Elle does (K. Kingsbury and P. Alvaro, "Elle: Inferring Isolation Anomalies from Experimental
Observations", VLDB 2020): every written value is unique, so a read tells whose write it saw. A list
tells the whole order of its appends; of a register the order is given, or follows from
transactions that read a value and replaced it. From that follow Adya's dependencies between
transactions, and a circle of them is an anomaly:

=============  =====================================================================
G0             circle of ``ww``: writes of two transactions interleave
G1a            a read of what an aborted transaction wrote
G1b            a read of what its writer replaced before it committed
G1c            circle of ``ww`` and ``wr``: two transactions saw each other
G-single       circle with one ``rw``: lost update, read skew; snapshots forbid it
G2             circle with two ``rw`` or more: write skew; serializability forbids it
...-realtime   a circle that needs the order of real time as well
internal       a transaction does not see its own writes, or reads change under it
lost-update    two transactions replaced the same version of a register, which both had read
lost           an append that was reported as committed is not there at the end
duplicate      an append is there twice
order          two reads of a list show different orders
invented       a read of what nobody wrote
=============  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.testing.dependency_graph import DependencyGraph, Edge
from asynctensor.testing.history import Append, Outcome, Read, Transacted

#: Name of the transaction that stands for what is there at the end.
FINAL = "final"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that isolated transactions could not have seen.

    Attributes:
        kind: See the module.
        transactions: Those concerned; of a circle, in its order.
        text: What happened, for people.
    """

    kind: str
    transactions: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def check(
    history: Iterable[Transacted],
    *,
    final: Mapping[str, Any] | None = None,
    versions: Mapping[str, Sequence[Hashable]] | None = None,
    realtime: bool = False,
) -> list[Anomaly]:
    """Looks for anomalies: of each kind of circle the shortest, of the others each.

    Args:
        history: All transactions, in any order.
        final: Key to value when all had ended: tuples for lists.
        versions: Of registers, all their values in order, where that is known (from a log).
        realtime: Also demand that who began after another had ended comes after it (strict
            serializability).

    Raises:
        InvalidArgument: A value was written to a key twice, or two transactions have one name.
    """
    judged = list(history)
    if final is not None:
        reads = tuple(Read(key, value) for key, value in final.items())
        begins = max((t.ended for t in judged if t.ended != float("inf")), default=0.0)
        judged.append(Transacted(FINAL, reads, began=begins, ended=begins))
    checker = _Checker(judged, versions or {})
    checker.look_at_reads()
    if final is not None:
        checker.look_for_lost(final)
    checker.depend()
    if realtime:
        checker.order_by_time()
    checker.look_for_circles(realtime)
    return checker.anomalies


def check_invariant(
    history: Iterable[Transacted],
    keys: Sequence[str],
    holds: Callable[[tuple[Any, ...]], bool],
    kind: str,
) -> list[Anomaly]:
    """Looks at what committed transactions read of `keys` before they wrote any of them.

    For what is true of every state in which a transaction may leave them: the sum of a bank's
    accounts, one doctor on call.

    Args:
        history: All transactions.
        keys: The registers concerned.
        holds: Whether their values, in that order, are a legal state.
        kind: What to call it if they are not.
    """
    found = []
    for transacted in history:
        seen: dict[str, Any] = {}
        written: set[str] = set()
        for operation in transacted.operations:
            if isinstance(operation, Read):
                if operation.key not in written:
                    seen[operation.key] = operation.value
            else:
                written.add(operation.key)
        if transacted.outcome is not Outcome.COMMITTED or not all(key in seen for key in keys):
            continue
        values = tuple(seen[key] for key in keys)
        if not holds(values):
            text = f"{transacted.name} read {dict(zip(keys, values, strict=True))}"
            found.append(Anomaly(kind, (transacted.name,), text))
    return found


class _Checker:
    """One check. Transactions are known by their index in `judged`."""

    def __init__(
        self, judged: Sequence[Transacted], versions: Mapping[str, Sequence[Hashable]]
    ) -> None:
        self._judged = judged
        self._versions = versions
        self.anomalies: list[Anomaly] = []
        self._graph = DependencyGraph()
        #: Who wrote a value, and whether it was the last that it wrote to the key.
        self._writers: dict[tuple[str, Hashable], int] = {}
        self._last: dict[tuple[int, str], Hashable] = {}
        self._lists: set[str] = set()
        self._index()
        #: What each saw of a key before it wrote it.
        self._seen: dict[tuple[int, str], Any] = {}
        #: Of those whose outcome is unknown, the ones whose writes somebody saw.
        self._happened = {at for at, each in enumerate(judged) if each.outcome is Outcome.COMMITTED}
        self._notice_unknown()
        self._orders = self._list_orders()

    def _index(self) -> None:
        if len({each.name for each in self._judged}) != len(self._judged):
            raise InvalidArgument("two transactions of a history have the same name")
        for at, transacted in enumerate(self._judged):
            for operation in transacted.operations:
                if isinstance(operation, Read):
                    if isinstance(operation.value, tuple):
                        self._lists.add(operation.key)
                    continue
                written = (operation.key, operation.value)
                if written in self._writers:
                    raise InvalidArgument(f"{operation.value!r} was written to a key twice")
                self._writers[written] = at
                self._last[at, operation.key] = operation.value
                if isinstance(operation, Append):
                    self._lists.add(operation.key)

    def _notice_unknown(self) -> None:
        growing = True
        while growing:
            growing = False
            for at in list(self._happened):
                for operation in self._judged[at].operations:
                    if not isinstance(operation, Read):
                        continue
                    for value in self._values(operation):
                        writer = self._writers.get((operation.key, value))
                        if writer is None or writer in self._happened:
                            continue
                        if self._judged[writer].outcome is Outcome.UNKNOWN:
                            self._happened.add(writer)
                            growing = True

    def _values(self, read: Read) -> tuple[Any, ...]:
        if read.key in self._lists:
            return read.value or ()
        return () if read.value is None else (read.value,)

    def _add(self, kind: str, transactions: Iterable[int], text: str) -> None:
        names = tuple(self._judged[at].name for at in transactions)
        self.anomalies.append(Anomaly(kind, names, text))

    # -- what single reads show -----------------------------------------------------------------

    def look_at_reads(self) -> None:
        """Aborted, intermediate, invented and inconsistent reads."""
        for at in sorted(self._happened):
            own: dict[str, list[Hashable]] = {}
            for operation in self._judged[at].operations:
                if isinstance(operation, Read):
                    self._look_at(at, operation, own.get(operation.key, []))
                else:
                    own.setdefault(operation.key, []).append(operation.value)

    def _look_at(self, at: int, read: Read, own: list[Hashable]) -> None:
        key, name = read.key, self._judged[at].name
        values = self._values(read)
        if len(set(values)) != len(values):
            self._add("duplicate", [at], f"{name} read {key!r} as {read.value!r}")
        outer = values
        if own and key in self._lists:
            outer = values[: len(values) - len(own)]
            if values[len(outer) :] != tuple(own):
                self._add("internal", [at], f"{name} added {own} to {key!r} and read {values!r}")
                return
        elif own:
            if values != (own[-1],):
                self._add("internal", [at], f"{name} wrote {own[-1]!r} to {key!r}, read {values}")
            return
        before = self._seen.setdefault((at, key), outer)
        if before != outer:
            self._add("internal", [at], f"{name} read {key!r} as {before!r}, then as {outer!r}")
            return
        for value in outer:
            writer = self._writers.get((key, value))
            if writer is None:
                self._add("invented", [at], f"{name} read {value!r} in {key!r}: nobody wrote it")
            elif self._judged[writer].outcome is Outcome.ABORTED:
                text = f"{name} read {value!r} in {key!r} of the aborted {self._name(writer)}"
                self._add("G1a", [at, writer], text)
        self._look_for_intermediate(at, key, outer)

    def _look_for_intermediate(self, at: int, key: str, outer: tuple[Any, ...]) -> None:
        if not outer:
            return
        writer = self._writers.get((key, outer[-1]))
        if writer not in (None, at) and self._last[writer, key] != outer[-1]:
            text = f"{self._name(at)} read {outer[-1]!r} in {key!r}, which {self._name(writer)}"
            self._add("G1b", [at, writer], f"{text} wrote over before it committed")

    def _name(self, at: int) -> str:
        return self._judged[at].name

    # -- lists ----------------------------------------------------------------------------------

    def _list_orders(self) -> dict[str, tuple[Any, ...]]:
        """The longest that anybody saw of each list."""
        longest: dict[str, tuple[Any, ...]] = dict.fromkeys(sorted(self._lists), ())
        for at in sorted(self._happened):
            for operation in self._judged[at].operations:
                if isinstance(operation, Read) and operation.key in self._lists:
                    values = self._values(operation)
                    if len(values) > len(longest[operation.key]):
                        longest[operation.key] = values
        return longest

    def look_for_lost(self, final: Mapping[str, Any]) -> None:
        """Appends that were reported as committed and are not there."""
        for (key, value), at in self._writers.items():
            committed = self._judged[at].outcome is Outcome.COMMITTED
            if committed and key in self._lists and value not in (final.get(key) or ()):
                self._add("lost", [at], f"{value!r} of {self._name(at)} is not in {key!r}")

    # -- dependencies ---------------------------------------------------------------------------

    def depend(self) -> None:
        """Draws the edges."""
        readers: dict[str, list[int]] = {}
        for at, key in self._seen:
            readers.setdefault(key, []).append(at)
        for key in sorted({key for key, _ in self._writers} | set(readers)):
            if key in self._lists:
                self._depend_in_list(key, readers.get(key, []))
            else:
                self._depend_in_register(key, readers.get(key, []))

    def _depend_in_list(self, key: str, readers: Sequence[int]) -> None:
        order = self._orders[key]
        writers = [self._writers.get((key, value)) for value in order]
        # What nobody saw came after all that was seen.
        unseen = [
            at
            for (k, value), at in self._writers.items()
            if k == key and at in self._happened and value not in order
        ]
        for before, after in pairwise(writers):
            self._edge(before, after, "ww", key)
        for after in unseen:
            self._edge(writers[-1] if writers else None, after, "ww", key)
        for at in readers:
            seen = self._seen[at, key]
            if seen != order[: len(seen)]:
                self._add("order", [at], f"{self._name(at)} read {key!r} as {seen}, not {order}")
                continue
            if seen:
                self._edge(writers[len(seen) - 1], at, "wr", key)
            for after in writers[len(seen) : len(seen) + 1] or unseen:
                self._edge(at, after, "rw", key)

    def _depend_in_register(self, key: str, readers: Sequence[int]) -> None:
        self._look_for_lost_updates(key, readers)
        followers = self._followers(key, readers)
        for value, after in followers.items():
            for other in after:
                self._edge(self._writer(key, value), self._writer(key, other), "ww", key)
        for at in readers:
            seen = self._seen[at, key]
            value = seen[0] if seen else None
            self._edge(self._writer(key, value), at, "wr", key)
            for other in followers.get(value, ()):
                self._edge(at, self._writer(key, other), "rw", key)

    def _followers(self, key: str, readers: Sequence[int]) -> dict[Any, list[Any]]:
        """For each value, those that are known to have come after it, the next ones at least."""
        if key in self._versions:
            order = [None, *self._versions[key]]
            return {value: [after] for value, after in pairwise(order)}
        last = {
            self._last[at, key]: at
            for (k, _), at in self._writers.items()
            if k == key and at in self._happened
        }
        followers: dict[Any, list[Any]] = {None: list(last)}
        for at in readers:
            if (at, key) in self._last and self._seen[at, key]:
                value = self._seen[at, key][0]
                followers.setdefault(value, []).append(self._last[at, key])
        return followers

    def _look_for_lost_updates(self, key: str, readers: Sequence[int]) -> None:
        """Two that replaced the same version, which each of them had read."""
        replaced: dict[Any, int] = {}
        for at in readers:
            if (at, key) not in self._last:
                continue
            other = replaced.setdefault(self._seen[at, key], at)
            if other != at:
                text = f"{self._name(other)} and {self._name(at)} both replaced what they had read"
                self._add("lost-update", [other, at], f"{text} of {key!r}: {self._seen[at, key]}")

    def _writer(self, key: str, value: Any) -> int | None:
        return None if value is None else self._writers.get((key, value))

    def _edge(self, before: int | None, after: int | None, kind: str, key: str) -> None:
        if before is not None and after is not None:
            self._graph.add(before, after, kind, key)

    def order_by_time(self) -> None:
        """Who had ended before another began comes first; what follows from others is left out."""
        # What is unknown may have happened at any time after it began.
        ends = {
            at: self._judged[at].ended
            for at in sorted(self._happened)
            if self._judged[at].outcome is not Outcome.UNKNOWN
        }
        for after in sorted(self._happened):
            began = self._judged[after].began
            ended = [at for at, end in ends.items() if end <= began and at != after]
            newest = max((self._judged[at].began for at in ended), default=began)
            for before in ended:
                # The others ended before somebody began who had ended himself by then.
                if ends[before] >= newest:
                    self._graph.add(before, after, "rt", "time")

    # -- circles --------------------------------------------------------------------------------

    def look_for_circles(self, realtime: bool) -> None:
        """Of each kind the shortest."""
        for suffix, more in (("", ()), ("-realtime", ("rt",))) if realtime else (("", ()),):
            found = {
                "G0": self._graph.shortest_cycle(("ww", *more), "ww"),
                "G1c": self._graph.shortest_cycle(("ww", "wr", *more), "wr"),
                "G-single": self._graph.shortest_cycle(("ww", "wr", *more), "rw"),
                "G2": self._graph.shortest_cycle(("ww", "wr", "rw", *more), "rw", times=2),
            }
            for kind, circle in found.items():
                if circle is not None and (not more or any(edge[2] == "rt" for edge in circle)):
                    text = self._drawn(circle)
                    self._add(kind + suffix, [edge[0] for edge in circle], text)

    def _drawn(self, circle: Sequence[Edge]) -> str:
        steps = [f"{self._name(before)} -{kind}({why})->" for before, _, kind, why in circle]
        return f"{' '.join(steps)} {self._name(circle[0][0])}"
