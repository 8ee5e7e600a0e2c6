"""A file system that forgets unsynced writes: every state in which a crash may leave a disk.

`ForgetfulFileSystem` does what it is asked on the real disk, and keeps a journal. From any point
of the journal, `crash_states` gives the states that POSIX allows after a power failure there, and
`materialise` builds one as real files:

- bytes of a file are certain once that file was flushed; before, it may be empty, cut off or whole;
- an entry of a directory (a file or directory made, renamed, linked, removed) is certain once that
  directory was flushed; before, any subset of the changes may have reached the disk, so that one
  made later survives and one made earlier does not;
- a rename is one change: either name is there, never both and never none;
- what stands in a directory whose own entry was lost is lost.

Real file systems keep far more order than this. A store that survives all of these states relies
on nothing but what it flushed.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from asynctensor.kvstores.file.file_system import FileSystem

#: Crash states looked at per point of the journal; more are sampled.
_MOST_STATES = 256
#: An entry that changed: its name, what is there now (None: nothing), and a name that it took away.
_Change: TypeAlias = "tuple[str, Node | None, str | None]"


@dataclass(eq=False)
class Node:
    """A file or directory, as it is and as it surely is on the disk."""

    is_directory: bool
    data: bytes = b""
    flushed: bytes | None = None
    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[_Change] = field(default_factory=list)

    def change(self, name: str, node: Node | None, taken: str | None = None) -> None:
        """Changes an entry; the disk may or may not learn of it before the next flush."""
        if taken is not None:
            self.entries.pop(taken, None)
        if node is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = node
        self.pending.append((name, node, taken))

    def flush(self) -> None:
        """Makes it certain."""
        if self.is_directory:
            self.durable, self.pending = dict(self.entries), []
        else:
            self.flushed = self.data

    def contents(self) -> list[bytes]:
        """What the file may hold after a crash."""
        if self.flushed == self.data:
            return [self.data]
        known = b"" if self.flushed is None else self.flushed
        return list(dict.fromkeys((known, self.data[: len(self.data) // 2], self.data)))

    def listings(self) -> list[tuple[int, ...]]:
        """Which of the pending changes may have reached the disk."""
        every = range(len(self.pending))
        return [
            chosen
            for size in range(len(self.pending) + 1)
            for chosen in itertools.combinations(every, size)
        ]

    def listed(self, chosen: tuple[int, ...]) -> dict[str, Node]:
        """The entries after a crash that kept these changes."""
        found = dict(self.durable)
        for index in chosen:
            name, node, taken = self.pending[index]
            if taken is not None:
                found.pop(taken, None)
            if node is None:
                found.pop(name, None)
            else:
                found[name] = node
        return found


class CrashState:
    """One state of the disk after a crash.

    Attributes:
        files: Paths with bytes, and None for directories; equal for states that look the same.
    """

    def __init__(self, root: Node, choices: dict[Node, Any]) -> None:
        found: list[tuple[str, bytes | None]] = []
        waiting: list[tuple[str, Node]] = [("", root)]
        while waiting:
            path, node = waiting.pop()
            if node.is_directory:
                found.append((path, None))
                entries = node.listed(choices.get(node, ()))
                waiting += [(f"{path}/{name}", below) for name, below in entries.items()]
            else:
                found.append((path, choices.get(node, node.data)))
        self.files = tuple(sorted(found, key=lambda file: file[0]))

    def materialise(self, folder: Path) -> None:
        """Builds it below `folder`, which is created."""
        for path, data in self.files:
            if data is None:
                (folder / path[1:]).mkdir()
            else:
                (folder / path[1:]).write_bytes(data)


class ForgetfulFileSystem(FileSystem):
    """Records what a store does below one folder. For one thread.

    Args:
        folder: An existing, empty directory; it is itself beyond doubt.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = os.path.realpath(folder)
        self._journal: list[Callable[[_Disk], None]] = []
        self._now = _Disk(self._folder)
        self._observe("open", self._after_open)
        self._observe("open_no_links", self._after_open_no_links)
        self._observe("write", self._after_write)
        self._observe("ftruncate", self._after_truncate)
        self._observe("fsync", self._after_fsync)
        self._observe("mkdir", self._after_mkdir)
        self._observe("rename", self._after_rename)
        self._observe("link", self._after_link)
        self._observe("unlink", self._after_unlink)
        self._observe("rmdir", self._after_unlink)
        self._paths: dict[int, str] = {}

    def _observe(self, name: str, note: Callable[..., None]) -> None:
        real = getattr(self, name)

        def call(*args: Any, **named: Any) -> Any:
            result = real(*args, **named)
            note(result, *args, **named)
            return result

        setattr(self, name, call)

    @property
    def position(self) -> int:
        """The length of the journal now."""
        return len(self._journal)

    def _note(self, name: str, *args: Any) -> None:
        step = partial(_apply, name, args)
        self._journal.append(step)
        step(self._now)

    def _path(self, name: str, dir_fd: int | None) -> str:
        return name if dir_fd is None else os.path.join(self._paths[dir_fd], name)  # noqa: PTH118

    def _after_open(
        self, fd: int, name: str, flags: int, mode: int = 0, *, dir_fd: int | None = None
    ) -> None:
        path = self._path(name, dir_fd)
        self._paths[fd] = path
        if flags & os.O_CREAT and not self._now.exists(path):
            self._note("create", path)
        self._now.opened[fd] = self._now.find(path)

    def _after_open_no_links(self, fd: int, path: str, flags: int) -> None:
        self._paths[fd] = path
        self._now.opened[fd] = self._now.find(path)

    def _node(self, fd: int) -> int:
        return self._now.number(self._now.opened[fd])

    def _after_write(self, _: None, fd: int, *pieces: memoryview) -> None:
        self._note("write", self._node(fd), b"".join(pieces))

    def _after_truncate(self, _: None, fd: int, size: int) -> None:
        self._note("truncate", self._node(fd))

    def _after_fsync(self, _: None, fd: int) -> None:
        if self._now.opened[fd] is not None:
            self._note("flush", self._node(fd))

    def _after_mkdir(self, _: None, name: str, mode: int, *, dir_fd: int | None = None) -> None:
        self._note("make", self._path(name, dir_fd))

    def _after_rename(
        self, _: None, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int
    ) -> None:
        self._note("rename", self._path(old, src_dir_fd), self._path(new, dst_dir_fd))

    def _after_link(self, _: None, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        self._note("link", self._path(old, src_dir_fd), self._path(new, dst_dir_fd))

    def _after_unlink(self, _: None, name: str, *, dir_fd: int | None = None) -> None:
        self._note("remove", self._path(name, dir_fd))

    def crash_states(self, position: int) -> Iterator[CrashState]:
        """The states that a crash may leave after the first `position` entries of the journal.

        All of them; where there are more than a few hundred, an arbitrary but fixed choice.
        """
        disk = _Disk(self._folder)
        for step in self._journal[:position]:
            step(disk)
        nodes = [node for node in disk.nodes if node.pending or not node.is_directory]
        options: list[list[Any]] = [
            list(node.listings()) if node.is_directory else list(node.contents()) for node in nodes
        ]
        total = 1
        for choices in options:
            total *= len(choices)
        if total <= _MOST_STATES:
            for combination in itertools.product(*options):
                yield CrashState(disk.root, dict(zip(nodes, combination, strict=True)))
            return
        chance = random.Random(position)  # noqa: S311 -- not for secrets
        for _ in range(_MOST_STATES):
            picked = [chance.choice(choices) for choices in options]
            yield CrashState(disk.root, dict(zip(nodes, picked, strict=True)))


def _apply(name: str, args: tuple[Any, ...], disk: _Disk) -> None:
    getattr(disk, name)(*args)


class _Disk:
    """The model: a tree of nodes, made by replaying a journal."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.root = Node(is_directory=True)
        #: In the order of their making, so that a number means the same in every replay.
        self.nodes = [self.root]
        self.opened: dict[int, Node | None] = {}

    def _split(self, path: str) -> tuple[Node, str] | None:
        """The directory that holds `path`, and its name there; None outside the folder."""
        if not path.startswith(self._folder + os.sep):
            return None
        *above, name = Path(path[len(self._folder) + 1 :]).parts
        node = self.root
        for part in above:
            node = node.entries[part]
        return node, name

    def find(self, path: str) -> Node | None:
        """What is at `path`; None outside the folder."""
        if path == self._folder:
            return self.root
        place = self._split(path)
        return None if place is None else place[0].entries.get(place[1])

    def exists(self, path: str) -> bool:
        """Whether the model knows something there."""
        return self.find(path) is not None

    def number(self, node: Node | None) -> int:
        """The number of a node."""
        assert node is not None
        return self.nodes.index(node)

    def _place(self, path: str) -> tuple[Node, str]:
        place = self._split(path)
        assert place is not None, f"{path} is changed, but lies outside of {self._folder}"
        return place

    def create(self, path: str) -> None:
        """A new file."""
        self._add(path, Node(is_directory=False))

    def make(self, path: str) -> None:
        """A new directory."""
        self._add(path, Node(is_directory=True))

    def _add(self, path: str, node: Node) -> None:
        directory, name = self._place(path)
        directory.change(name, node)
        self.nodes.append(node)

    def write(self, number: int, data: bytes) -> None:
        """Bytes at the end of a file."""
        self.nodes[number].data += data

    def truncate(self, number: int) -> None:
        """A file made empty."""
        self.nodes[number].data = b""

    def flush(self, number: int) -> None:
        """``fsync`` of a file or directory."""
        self.nodes[number].flush()

    def rename(self, old: str, new: str) -> None:
        """A rename within a directory."""
        directory, name = self._place(new)
        source, taken = self._place(old)
        assert source is directory, "renames go within a directory"
        directory.change(name, directory.entries[taken], taken)

    def link(self, old: str, new: str) -> None:
        """A second name."""
        directory, name = self._place(new)
        directory.change(name, self.find(old))

    def remove(self, path: str) -> None:
        """A name less."""
        directory, name = self._place(path)
        directory.change(name, None)
