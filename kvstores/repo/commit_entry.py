"""The entry of one transaction.

::

    commit    = [txn, base, time, runs, message, author, metadata, isolation, cleared, families,
                 parts, adopts, kind, target, caller_key]          ; msgpack, in a bin of the record
    txn       = bin                      ; 16 bytes
    base      = uint                     ; the first seq that its base does not cover
    time      = uint                     ; unix time in microseconds
    runs      = [run ...]                ; `run`; at most one for each space; no seqs, no places
    message, author, caller_key = nil | text
    metadata  = nil | text               ; a JSON object, its members sorted
    isolation = nil | text               ; nil: "serializable"
    cleared   = nil | [count, strings, strings]  ; lower and upper bounds of ranges of spelled keys
    families  = nil | [text ...]         ; keys in the catalog of the families of runs and parts
    parts     = nil | [part ...]         ; `part_ref`
    adopts    = nil | table              ; `object_table`
    kind      = nil | text               ; nil: "commit"
    target    = nil | [branch, seq, place]

A commit first deletes the keys in `cleared`, then sets what its runs and parts say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, cast, get_args

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import frame, object_table, objects
from asynctensor.kvstores.repo.family import ID_BYTES, Family
from asynctensor.kvstores.repo.fields import Fields, check_text, without_trailing_defaults
from asynctensor.kvstores.repo.objects import BRANCH_BYTES, SEQ_LIMIT, TXN_BYTES
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.read_set import pack_ranges, unpack_ranges
from asynctensor.kvstores.repo.run import Run
from asynctensor.storage.key_range import KeyRange

CommitKind = Literal["commit", "reset", "revert", "merge"]
Isolation = Literal["serializable", "snapshot", "blind"]
DIGEST_BYTES = 16

_KINDS: tuple[str, ...] = get_args(CommitKind)
_ISOLATIONS: tuple[str, ...] = get_args(Isolation)
_MAX_COUNT = 1 << 16


@dataclass(frozen=True)
class CommitEntry:
    """What one transaction did. Equal to another whose stored form is equal.

    Attributes:
        txn: Its id.
        base: The sequence number of the newest record it was begun upon; -1 for none.
        time: Unix time of the commit, in microseconds.
        runs: What it changed, one run a space.
        message, author: What its author said.
        metadata: A JSON object.
        isolation: What of its reads was validated.
        cleared: Ranges of spelled keys that it deleted before anything else.
        families: Those of its runs and parts; perhaps more.
        parts: Further runs, in objects of their own.
        adopts: Objects that it refers to, but did not write.
        kind: What it is in the history.
        target: (branch id, seq, place) that it goes back to, undoes or merges.
        caller_key: The caller's key that makes a repetition known.
    """

    txn: bytes
    base: int
    time: int
    runs: tuple[Run, ...] = ()
    message: str | None = None
    author: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    isolation: Isolation = "serializable"
    cleared: tuple[KeyRange, ...] = ()
    families: tuple[Family, ...] = ()
    parts: tuple[PartRef, ...] = ()
    adopts: tuple[str, ...] = ()
    kind: CommitKind = "commit"
    target: tuple[str, int, int] | None = None
    caller_key: str | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The stored form; an entry that was read keeps the bytes that were read.

        Raises:
            InvalidArgument: A field cannot be stored: text that is no text, metadata beyond JSON.
        """
        check_text(message=self.message, author=self.author, caller_key=self.caller_key)
        if stray := self._stray():
            raise InvalidArgument(f"a commit cannot be stored: {stray}")
        target = self.target
        return frame.packed(
            without_trailing_defaults(
                [
                    sized(self.txn, TXN_BYTES, "a transaction id"),
                    counted(self.base + 1, "a base, plus one"),
                    counted(self.time, "a time"),
                    [run.payload() for run in self.runs],
                    self.message,
                    self.author,
                    _json_text(self.metadata) if self.metadata else None,
                    self.isolation if self.isolation != "serializable" else None,
                    pack_ranges(self.cleared),
                    [family.key for family in self.families] or None,
                    [part.payload() for part in self.parts] or None,
                    _pack_adopts(self.adopts),
                    self.kind if self.kind != "commit" else None,
                    [branch_bytes(target[0]), target[1], target[2]] if target else None,
                    self.caller_key,
                ]
            )
        )

    @cached_property
    def digest(self) -> bytes:
        """blake2b of the stored form in 16 bytes: the same transaction has the same."""
        return blake2b(self.encoded, digest_size=DIGEST_BYTES).digest()

    @staticmethod
    def decode(data: bytes, *, object: str) -> CommitEntry:
        """The entry whose stored form is `data`.

        Raises:
            DataLoss: `data` is none.
        """
        fields = Fields(frame.unpacked(data, object=object), object=object, where="commit", least=4)
        entry = CommitEntry(
            txn=fields.binary(0, "transaction id", size=TXN_BYTES),
            base=fields.uint(1, "base", below=SEQ_LIMIT + 1) - 1,
            time=fields.uint(2, "time", below=1 << 63),
            runs=unpack_runs(fields, 3),
            message=fields.text_or_none(4, "message"),
            author=fields.text_or_none(5, "author"),
            metadata=_metadata(fields),
            isolation=cast("Isolation", _one_of(fields, 7, "isolation", _ISOLATIONS)),
            cleared=unpack_ranges(fields, 8),
            families=unpack_families(fields, 9),
            parts=tuple(map(PartRef.of_payload, fields.array(10, "parts").each("part", least=5))),
            adopts=tuple(map(objects.spelled, object_table.unpack(fields, 11))),
            kind=cast("CommitKind", _one_of(fields, 12, "kind", _KINDS)),
            target=_target(fields),
            caller_key=fields.text_or_none(14, "caller's key"),
        )
        if stray := entry._stray():
            fields.fail(stray)
        entry.__dict__["encoded"] = data
        return entry

    def _stray(self) -> str | None:
        """What is wrong with a run or a part whose family the commit does not name."""
        families = {family.id: family for family in self.families}
        spans = {span.space for part in self.parts for span in part.spans}
        for space in spans | {run.space for run in self.runs}:
            if len(space) == ID_BYTES and space not in families:
                return f"changes keys of the family {space.hex()}, which it does not name"
        for run in self.runs:
            if run.rank and len(run) and run.rank != families[run.space].rank:
                return f"has keys of {run.rank} numbers for {families[run.space]}"
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommitEntry) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)


def sized(data: bytes, size: int, what: str) -> bytes:
    """`data`, which must have `size` bytes.

    Raises:
        InvalidArgument: It has not.
    """
    if len(data) != size:
        raise InvalidArgument(f"{what} has {size} bytes, not {len(data)}")
    return data


def counted(value: int, what: str) -> int:
    """`value`, which must be 0 to 2**63 - 1.

    Raises:
        InvalidArgument: It is not.
    """
    if not 0 <= value < 1 << 63:
        raise InvalidArgument(f"{what} is 0 to 2**63 - 1, not {value}")
    return value


def branch_bytes(branch: str) -> bytes:
    """A branch id as it is stored.

    Raises:
        InvalidArgument: `branch` is none.
    """
    try:
        data = bytes.fromhex(branch)
    except ValueError:
        data = b""
    if len(data) != BRANCH_BYTES or data.hex() != branch:
        raise InvalidArgument(f"{branch!r} is no branch id: it takes {2 * BRANCH_BYTES} hex digits")
    return data


def _json_text(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(
            dict(metadata),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"the metadata of a commit must be JSON: {error}") from error


def _metadata(fields: Fields) -> Mapping[str, Any]:
    text = fields.text(6, "metadata", default="{}")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        fields.fail("has metadata that is no JSON object")
    return metadata


def _pack_adopts(names: Sequence[str]) -> list[object] | None:
    return object_table.pack(sorted({objects.packed(name) for name in names}))


def unpack_runs(fields: Fields, index: int) -> tuple[Run, ...]:
    """The runs, of different spaces, that are element `index` of `fields`.

    Raises:
        DataLoss: They are none.
    """
    runs = tuple(map(Run.of_payload, fields.array(index, "runs").each("run", least=3)))
    if len({run.space for run in runs}) != len(runs):
        fields.fail("has two runs of one space")
    return runs


def unpack_families(fields: Fields, index: int) -> tuple[Family, ...]:
    """The families that are element `index` of `fields`.

    Raises:
        DataLoss: They are none.
    """
    keys = fields.array(index, "families")
    return tuple(
        Family.from_key(keys.text(at, "family"), object=fields.name) for at in range(len(keys))
    )


def _one_of(fields: Fields, index: int, what: str, allowed: tuple[str, ...]) -> str:
    value = fields.text(index, what, default=allowed[0])
    if value not in allowed:
        fields.fail(f"has {value[:32]!r} as {what}, which must be one of {', '.join(allowed)}")
    return value


def _target(fields: Fields) -> tuple[str, int, int] | None:
    if fields.get(13) is None:
        return None
    target = fields.array(13, "target", least=3)
    return (
        target.binary(0, "branch", size=BRANCH_BYTES).hex(),
        target.uint(1, "seq", below=SEQ_LIMIT),
        target.uint(2, "place", below=1 << 16),
    )
