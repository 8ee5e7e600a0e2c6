"""`NameTable`: drivers or kvstores by their names and schemes, those of users among them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from asynctensor.errors import AlreadyExists, InvalidArgument
from asynctensor.names import entry_point_names, load_all_entry_points, load_entry_point
from asynctensor.near_names import near
from asynctensor.runtime.process import PROCESS


class Named(Protocol):
    """What stands in a table."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its names, the usual one first."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """Its schemes in URLs."""
        ...

    @property
    def from_user(self) -> bool:
        """Whether a user registered it."""
        ...


N = TypeVar("N", bound=Named)


class NameTable(Generic[N]):
    """See the module. Safe from any thread, and in a forked child.

    Args:
        kind: What is in it (``"driver"``).
        phrase: What errors call one (``"KvStore driver"``).
        group: The entry points that may register more.
        known: Those that there are.
    """

    def __init__(self, kind: str, phrase: str, group: str, known: Iterable[N]) -> None:
        self._kind, self._phrase, self._group = kind, phrase, group
        self._by_name = {name: each for each in known for name in each.names}
        self._by_scheme = {s: each for each in self._by_name.values() for s in each.schemes}
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: nobody here holds the parent's lock."""
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[N]:
        """All of them, each once."""
        return iter({id(each): each for each in list(self._by_name.values())}.values())

    def find(self, name: str) -> N:
        """The one of this name.

        Raises:
            InvalidArgument: There is none; those with names like it are told.
        """
        if name not in self._by_name:
            load_entry_point(self._group, name)
        found = self._by_name.get(name)
        if found is None:
            known = (*self._by_name, *entry_point_names(self._group))
            raise InvalidArgument(f'"{name}" is not a registered {self._phrase}{near(name, known)}')
        return found

    def of_scheme(self, scheme: str) -> N | None:
        """The one with this scheme, if it is registered."""
        return self._by_scheme.get(scheme)

    def schemes(self) -> list[str]:
        """All schemes."""
        return list(self._by_scheme)

    def load_all(self) -> None:
        """Loads every entry point: a scheme need not be the name of what has it."""
        load_all_entry_points(self._group)

    def add(self, made: N, others: Iterable[NameTable[Any]], *, replace: bool) -> None:
        """Makes one known by its name and schemes.

        Args:
            made: Which.
            others: Further tables whose schemes it must not take.
            replace: Whether it may take the place of another one that was added.

        Raises:
            AlreadyExists: The name or a scheme is taken.
        """
        with self._lock:
            name = made.names[0]
            taken = self._by_name.get(name)
            if taken is not None and not (taken.from_user and replace):
                remedy = (
                    "pass replace=True to replace it" if taken.from_user else "choose another name"
                )
                raise AlreadyExists(f'there is a {self._kind} "{name}" already; {remedy}')
            for scheme in made.schemes:
                for table in (self, *others):
                    table._check_free(scheme, name)
            for scheme in () if taken is None else taken.schemes:
                del self._by_scheme[scheme]
            self._by_name[name] = made
            self._by_scheme.update(dict.fromkeys(made.schemes, made))

    def _check_free(self, scheme: str, name: str) -> None:
        owner = self._by_scheme.get(scheme)
        if owner is not None and owner.names[0] != name:
            raise AlreadyExists(
                f'the URL scheme "{scheme}" is that of "{owner.names[0]}"; choose another one'
            )

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Forgets, at the end of its block, what was added in it."""
        before = dict(self._by_name), dict(self._by_scheme)
        try:
            yield
        finally:
            with self._lock:
                self._by_name, self._by_scheme = before
