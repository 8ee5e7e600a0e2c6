"""A reader of repositories, written from docs/formats/repo.md alone; it shares no code with us."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import google_crc32c
import msgpack

Get = Callable[[str], bytes | None]

_DECIMAL = "(?:0|[1-9][0-9]{0,17})"
_DOTTED = re.compile(rf"(?<![0-9]){_DECIMAL}(?:\.{_DECIMAL})+\Z")
_SLASHED = re.compile(rf"(?:^|(?<=/)){_DECIMAL}(?:/{_DECIMAL})*\Z")


def payload(body: bytes, kind: int) -> list[Any]:
    """The payload of a frame."""
    magic, found, version = struct.unpack_from("<4sBI", body)
    assert magic == b"atx1"
    assert google_crc32c.value(body[:-4]) == int.from_bytes(body[-4:], "little")
    assert version == 1
    assert found == kind
    return msgpack.unpackb(body[9:-4])


def element(array: list[Any], index: int) -> Any:
    """An element, nil behind the end."""
    return array[index] if index < len(array) else None


def column(value: Any, n: int) -> list[int]:
    """A column of n integers."""
    if value is None or isinstance(value, int):
        return [value or 0] * n
    if isinstance(value, bytes):
        return _numbers(value, n)
    if isinstance(value[1], bytes):
        return [(value[0] + each) % 2**64 for each in _numbers(value[1], n)]
    rest = _numbers(value[2], n - 1) if len(value) > 2 else [0] * (n - 1)
    return [each % 2**64 for each in accumulate([value[0], *(value[1] + each for each in rest)])][
        :n
    ]


def _numbers(data: bytes, n: int) -> list[int]:
    if not n:
        return []
    width = len(data) // n
    assert width in (1, 2, 4, 8)
    assert width * n == len(data)
    return [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]


def strings(value: Any, n: int) -> list[bytes]:
    """A column of n byte strings."""
    prefix, lengths, data = value
    result, at = [], 0
    for length in column(lengths, n):
        result.append(prefix + data[at : at + length])
        at += length
    assert at == len(data)
    return result


def ranges(value: Any) -> list[tuple[bytes, bytes]]:
    """Lower and upper bounds."""
    if value is None:
        return []
    n, lows, highs = value
    return list(zip(strings(lows, n), strings(highs, n), strict=True))


def table(value: Any) -> list[str]:
    """Names of objects."""
    if value is None:
        return []
    names = []
    if element(value, 0) is not None:
        random, days, txns, which, index = value[0]
        n = len(random) // 6
        for at, (day, txn, i) in enumerate(
            zip(column(days, n), column(which, n), column(index, n), strict=True)
        ):
            q = random[6 * at : 6 * at + 6].hex()
            names.append(f"data/{q[:2]}/{day:08d}/{txns[16 * txn : 16 * txn + 16].hex()}/{i}-{q}")
    packs = element(value, 1) or b""
    names += [f"idx/{packs[at : at + 8].hex()}" for at in range(0, len(packs), 8)]
    return names + (element(value, 2) or [])


#: Where a value is: itself, or (object, offset); its size, its checksum, its version.
Where = tuple[bytes | tuple[str, int], int, int, tuple[int, int]]


def run(value: list[Any]) -> tuple[bytes, dict[bytes, Where | None]]:
    """The space of a run, and its keys with their references."""
    space, keys, crcs = value[:3]
    n = len(crcs) // 4
    if len(space) == 8:
        axes = [column(axis, n) for axis in keys]
        spelled = [b"".join(c.to_bytes(8, "big") for c in each) for each in zip(*axes, strict=True)]
    else:
        spelled = strings(keys, n)
    assert spelled == sorted(set(spelled))
    names = table(element(value, 4))
    where, offsets, sizes, seqs, places = (column(element(value, at), n) for at in (3, 5, 6, 8, 9))
    inline, at = element(value, 7) or b"", 0
    result: dict[bytes, Where | None] = {}
    for row, key in enumerate(spelled):
        size, version = sizes[row], (seqs[row], places[row])
        place: bytes | tuple[str, int]
        if where[row] == 0:
            result[key] = None
            continue
        if where[row] == 1:
            place = inline[at : at + size]
            at += size
        else:
            place = (names[where[row] - 2], offsets[row])
        result[key] = (place, size, int.from_bytes(crcs[4 * row : 4 * row + 4], "little"), version)
    assert at == len(inline)
    return space, result


def space_of(key: str) -> tuple[bytes, bytes, str]:
    """The space of a key, the key in it, and the catalog key of its family or nothing."""
    found, separator = _DOTTED.search(key), "."
    if found is None:
        found, separator = _SLASHED.search(key), "/"
    numbers = found[0].split(separator) if found else []
    if not 0 < len(numbers) <= 32:
        return b"", key.encode(), ""
    family = f"{key[: found.start()]}\0{separator}{len(numbers)}"
    name = blake2b(family.encode(), digest_size=8).digest()
    return name, b"".join(int(number).to_bytes(8, "big") for number in numbers), family


def spell(family: str, key: bytes) -> bytes:
    """The whole text of a key of a family."""
    prefix, _, rest = family.rpartition("\0")
    numbers = [str(int.from_bytes(key[at : at + 8], "big")) for at in range(0, len(key), 8)]
    return (prefix + rest[0].join(numbers)).encode()


@dataclass
class Changes:
    """What a commit does to the state before it: ranges that go first, and then keys."""

    cleared: list[tuple[bytes, bytes]]
    keys: dict[bytes, Where | None]

    def apply(self, version: tuple[int, int], entries: dict[bytes, Where]) -> None:
        """Makes a state that after this commit."""
        for low, high in self.cleared:
            for key in [key for key in entries if low <= key and (not high or key < high)]:
                del entries[key]
        for key, ref in self.keys.items():
            if ref is None:
                entries.pop(key, None)
            else:
                entries[key] = (*ref[:3], version)


class Reader:
    """Reads the log of one branch that was never forked nor reset.

    Args:
        get: Gives an object by its name; None if there is none.
        branch: The branch's id; None for that of ``main``.
    """

    def __init__(self, get: Get, branch: str | None = None) -> None:
        self._get = get
        if branch is None:
            body = get("repo.json") or b""
            blank = re.sub(rb'("crc32c": ")[0-9a-f]{8}', rb"\g<1>00000000", body)
            description = json.loads(body)
            assert int(description["crc32c"], 16) == google_crc32c.value(blank)
            assert description["format"] == "asynctensor repository"
            assert description["version"] == 1
            assert description["features"] == []
            branch = description["main"]
        self.branch: str = branch

    def records(self, first: int, parent: bytes | None) -> list[list[Any]]:
        """The records from a slot on, whose parents fit."""
        found = []
        seq = first
        while (body := self._get(f"log/{self.branch}/{2**63 - 1 - seq:016x}")) is not None:
            record = payload(body, 2)
            assert (record[0].hex(), record[1]) == (self.branch, seq)
            assert parent in (None, record[2])
            parent = blake2b(body, digest_size=16).digest()
            found.append(record)
            seq += 1
        return found

    def state(self, checkpoint: int | None) -> dict[bytes, Where]:
        """All spelled keys of the newest state, from a checkpoint or from the beginning."""
        entries: dict[bytes, Where] = {}
        first, parent = 1, bytes(16)
        if checkpoint is not None:
            body = self._get(f"ckpt/{self.branch}/{2**63 - 1 - checkpoint:016x}")
            assert body is not None
            fields = payload(body, 7)
            first, parent = fields[1] + 1, fields[2]
            entries.update(self.tree(element(fields, 4)))
            for key, (value, *_) in self.tree(element(fields, 5)).items():
                assert isinstance(value, bytes)
                below = self.tree(msgpack.unpackb(value) or None)
                entries.update({spell(key.decode(), each): ref for each, ref in below.items()})
        closed = False
        for record in self.records(first, parent):
            for place, entry in enumerate(record[4]):
                if entry[0] == 1:
                    commit = msgpack.unpackb(entry[1])
                    assert element(commit, 12) != "reset"
                    assert not closed
                    self.changes(commit).apply((record[1], place), entries)
                # Aborts, floors and sweeps change nothing, nor does what is not known.
                closed = closed or entry[0] == 5
        return entries

    def changes(self, commit: list[Any]) -> Changes:
        """What a commit does to the state before it."""
        families = element(commit, 9) or []
        names = {blake2b(each.encode(), digest_size=8).digest(): each for each in families}
        changed = {
            spell(names[space], key) if space else key: ref
            for space, changes in map(run, self._runs(commit))
            for key, ref in changes.items()
        }
        return Changes(ranges(element(commit, 8)), changed)

    def _runs(self, commit: list[Any]) -> list[Any]:
        runs = list(commit[3])
        for name, size, crc, *_ in element(commit, 10) or []:
            body = self._get(name)
            assert body is not None
            assert (len(body), google_crc32c.value(body)) == (size, crc)
            runs += payload(body, 4)[5]
        return runs

    def tree(self, root: Any, level: int | None = None) -> dict[bytes, Where]:
        """All entries of a tree."""
        if root is None:
            return {}
        name, offset, size, crc, count = root
        pack = self._get(name)
        assert pack is not None
        page = pack[offset : offset + size]
        assert google_crc32c.value(page) == crc
        if page[4] == 5:
            assert level in (None, 0)
            entries = {key: ref for key, ref in run(payload(page, 5)[0])[1].items() if ref}
        else:
            fields = payload(page, 6)
            assert level in (None, fields[0])
            children = run(fields[1])[1]
            counts = column(element(fields, 2), len(children))
            entries = {}
            for low, below in self._children(children, counts, fields[0]):
                assert min(below) >= low
                assert not entries or low > max(entries)
                entries.update(below)
        assert len(entries) == count
        return entries

    def _children(self, children: Any, counts: list[int], level: int) -> Any:
        for (low, ref), count in zip(children.items(), counts, strict=True):
            (name, offset), size, crc, _ = ref
            yield low, self.tree([name, offset, size, crc, count], level - 1)

    def value(self, ref: Where) -> bytes:
        """The value that a reference stands for."""
        place, size, crc, _ = ref
        if isinstance(place, bytes):
            data = place
        else:
            body = self._get(place[0])
            assert body is not None
            data = body[place[1] : place[1] + size]
        assert (len(data), google_crc32c.value(data)) == (size, crc)
        return data


@dataclass
class Commit:
    """What a commit says of itself."""

    version: tuple[int, int]
    time: int
    message: str | None
    author: str | None
    metadata: dict[str, Any]
    isolation: str
    kind: str
    target: list[Any] | None
    caller_key: str | None


class Repository:
    """Names, forked branches, resets and older states of a repository.

    Args:
        objects: All of its objects, by name.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects
        self._main = Reader(objects.get).branch
        self._read: dict[tuple[str, int], list[tuple[int, list[Any], Changes]]] = {}
        #: Of each branch that was forked: where, in whose log.
        self._forks: dict[str, tuple[str, int, int]] = {}
        for name, body in objects.items():
            if name.startswith("ref/b/"):
                _, action, branch, seq, place, origin = [
                    element(payload(body, 9), i) for i in range(6)
                ]
                if not action and origin:
                    self._forks[branch] = (origin, seq or 0, place or 0)

    def named(self, kind: str, name: str) -> list[Any] | None:
        """The last entry of a name; None: it means nothing."""
        quoted = "".join(
            char if char in "abcdefghijklmnopqrstuvwxyz0123456789-_" or (char == "." and at)
            else "".join(f"%{byte:02X}" for byte in char.encode())
            for at, char in enumerate(name)
        )  # fmt: skip
        k, last = 0, None
        while (body := self._objects.get(f"ref/{kind}/{quoted}/{k}")) is not None:
            k, last = k + 1, payload(body, 9)
        return None if last is None or last[1] else last

    def branch(self, name: str) -> str:
        """The id of a branch."""
        found = self.named("b", name)
        if found is None:
            assert name == "main"
            return self._main
        branch: str = found[2]
        return branch

    def newest(self, branch: str) -> tuple[int, int]:
        """The newest version of a branch."""
        seq = self._forks.get(branch, ("", 0, 0))[1]
        while f"log/{branch}/{2**63 - 2 - seq:016x}" in self._objects:
            seq += 1
        return seq, 4096

    def tagged(self, name: str) -> tuple[str, tuple[int, int]]:
        """The branch and the version that a tag means."""
        found = self.named("t", name)
        assert found is not None
        body = self._objects[f"log/{found[2]}/{2**63 - 1 - found[3]:016x}"]
        assert blake2b(body, digest_size=16).digest() == found[6]
        return found[2], (found[3], element(found, 4) or 0)

    def state(self, branch: str, version: tuple[int, int]) -> dict[bytes, Where]:
        """All spelled keys after a commit, by the log alone."""
        entries: dict[bytes, Where] = {}
        for each, commit, changes in self._commits(branch, version):
            if element(commit, 12) == "reset":
                _, seq, place = commit[13]
                entries = self.state(branch, (seq, place))
            changes.apply(each, entries)
        return entries

    def log(self, branch: str, version: tuple[int, int]) -> list[Commit]:
        """The commits that led to a state, oldest first; not those that a reset went back over."""
        found: list[Commit] = []
        for each, commit, _ in self._commits(branch, version):
            said = Commit(
                each, *(element(commit, at) for at in (2, 4, 5)),
                json.loads(element(commit, 6) or "{}"), element(commit, 7) or "serializable",
                element(commit, 12) or "commit", element(commit, 13), element(commit, 14),
            )  # fmt: skip
            if said.kind == "reset":
                assert said.target is not None
                found = self.log(branch, (said.target[1], said.target[2]))
            found.append(said)
        return found

    def _commits(
        self, branch: str, version: tuple[int, int]
    ) -> Iterator[tuple[tuple[int, int], list[Any], Changes]]:
        for seq in range(1, version[0] + 1):
            owner, last = self._owner(branch, seq)
            for place, commit, changes in self._record(owner, seq):
                if place <= last and (seq, place) <= version:
                    yield (seq, place), commit, changes

    def _owner(self, branch: str, seq: int) -> tuple[str, int]:
        """In whose log a record of a branch stands, and its last entry that is of the branch."""
        owner, last = branch, 4096
        while owner in self._forks and seq <= self._forks[owner][1]:
            if seq == self._forks[owner][1]:
                last = min(last, self._forks[owner][2])
            owner = self._forks[owner][0]
        return owner, last

    def _record(self, owner: str, seq: int) -> list[tuple[int, list[Any], Changes]]:
        found = self._read.get((owner, seq))
        if found is None:
            reader = Reader(self._objects.get, owner)
            commits = [
                (place, msgpack.unpackb(entry[1]))
                for place, entry in enumerate(self._entries(owner, seq))
                if entry[0] == 1
            ]
            found = [(place, commit, reader.changes(commit)) for place, commit in commits]
            self._read[owner, seq] = found
        return found

    def _entries(self, owner: str, seq: int) -> list[list[Any]]:
        entries: list[list[Any]] = payload(self._objects[f"log/{owner}/{2**63 - 1 - seq:016x}"], 2)[
            4
        ]
        return entries

    def closed(self, branch: str) -> bool:
        """Whether a branch takes no more commits: none stands behind what says so."""
        seqs = range(self._forks.get(branch, ("", 0, 0))[1] + 1, self.newest(branch)[0] + 1)
        kinds = [entry[0] for seq in seqs for entry in self._entries(branch, seq)]
        assert 5 not in kinds or 1 not in kinds[kinds.index(5) :]
        return 5 in kinds

    def floors(self, branch: str) -> list[tuple[int, list[str] | None]]:
        """Of each floor: the first seq that stays, and which names hold older ones.

        None: nobody has said so yet.
        """
        floors: dict[int, tuple[int, list[str] | None]] = {}
        for seq in range(1, self.newest(branch)[0] + 1):
            for entry in self._entries(self._owner(branch, seq)[0], seq):
                if entry[0] == 3:
                    floors[seq] = entry[1], None
                elif entry[0] == 4 and floors[entry[1]][1] is None:
                    floors[entry[1]] = floors[entry[1]][0], table(element(entry, 2))
        return list(floors.values())

    def values(self, entries: dict[bytes, Where]) -> dict[str, bytes]:
        """The values of a state."""
        reader = Reader(self._objects.get, self._main)
        return {key.decode(): reader.value(ref) for key, ref in entries.items()}

    def caller_keys(self, branch: str, checkpoint: int) -> dict[str, tuple[int, int]]:
        """Which commits bore callers' keys, by a checkpoint."""
        body = self._objects[f"ckpt/{branch}/{2**63 - 1 - checkpoint:016x}"]
        root = element(payload(body, 7), 6)
        tree = Reader(self._objects.get, branch).tree(root)
        return {key.decode(): version for key, (_, _, _, version) in tree.items()}

    def hinted(self, branch: str) -> tuple[int, int | None, bytes]:
        """What a hint says: a record, a checkpoint, and its body."""
        fields = payload(self._objects[f"hint/{branch}"], 8)
        assert fields[0].hex() == branch
        return fields[1], element(fields, 2), element(fields, 3) or b""

    def intents(self, branch: str) -> list[tuple[bytes, list[str], list[str]]]:
        """Of each intent: the transaction, the keys that it writes, and those that it read."""
        found = []
        for name, body in self._objects.items():
            if name.startswith(f"intent/{branch}/"):
                _, commit, reads = payload(body, 3)
                fields = msgpack.unpackb(commit)
                assert name.endswith(fields[0].hex())
                names = {b"": ""} | {
                    blake2b(each.encode(), digest_size=8).digest(): each
                    for each in element(fields, 9) or []
                }
                written = [
                    (spell(names[space], key) if space else key).decode()
                    for space, changes in map(run, fields[3])
                    for key in changes
                ]
                read = [
                    key.decode()
                    for space, n, keys in element(reads or [], 1) or []
                    for key in (strings(keys, n) if not space else [])
                ]
                found.append((fields[0], written, read))
        return found

    def leases(self) -> list[tuple[str, tuple[int, int], bytes, bool]]:
        """Of each lease: the branch and version in use, by which transaction, and whether still."""
        found = []
        for name, body in self._objects.items():
            if name.startswith("lease/") and name.endswith("/0"):
                branch, seq, place, _, txn, *_ = payload(body, 10)
                released = name[:-1] + "1" in self._objects
                found.append((branch.hex(), (seq, place), txn, not released))
        return found
