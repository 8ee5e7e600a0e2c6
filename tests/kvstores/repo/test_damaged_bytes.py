"""A byte of any object that changes, or an end that is missing, is found and named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import pytest

from asynctensor.errors import DataLoss, Unimplemented
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.description import Description
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.intent import Intent
from asynctensor.kvstores.repo.lease import Lease
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.page import decode_page
from asynctensor.kvstores.repo.part import Part, decode_part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.record import Record
from asynctensor.kvstores.repo.refs import RefEntry
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.deterministic_loop import simulate
from tests.kvstores.repo.holes.wire import Process

Decode = Callable[[bytes], object]


async def _made() -> dict[str, tuple[bytes, Decode]]:
    """Objects of every kind, by kind and name, and what reads each."""
    base = MemoryStore()
    process = Process(base)
    await process.state.create()
    for i in range(3):
        await process.put(f"c/{i}/0", bytes(10 + i))
    await process.put("pack", bytes(9000))
    branch = await process.branch()
    await fold_branch(branch, process.state.place)
    await Naming(process.state).create_tag("v1", "main", "why", "ada")
    await process.offer(await process.proposal({"offered": b"1"}, ("pack",)))
    lease = Lease(branch.id, (1, 0), branch.id, bytes(16), 5)
    await base.write(lease.name(0), lease.encode())
    run = (await process.proposal({"c/7/7": b"x"})).entry
    part = Part(branch.id, bytes(16), "w", 0, run.families, run.runs)
    await base.write("part/0", part.encode())
    readers = {
        "repo.json": Description,
        "log": Record,
        "ckpt": Checkpoint,
        "hint": Hint,
        "ref": RefEntry,
        "lease": Lease,
        "intent": Intent,
        "part": Part,
    }
    found: dict[str, tuple[bytes, Decode]] = {}
    async for entry in base.list(KeyRange()):
        kind = readers.get(entry.key.partition("/")[0])
        if kind is not None:
            body = (await base.read(entry.key)).value
            found[entry.key] = body, partial(kind.decode, object=entry.key)
    checkpoint = Checkpoint.decode(found[_only(found, "ckpt/")][0], object="")
    for root in (checkpoint.documents, checkpoint.catalog):
        assert root is not None
        pack = (await base.read(root.object)).value
        page = pack[root.offset : root.offset + root.size]
        found[f"{root.object}@{root.offset}"] = page, partial(decode_page, ref=root)
    ref = part.ref("part/0", part.encode())
    found["part/0 of a commit"] = part.encode(), partial(_part, ref=ref)
    return found


def _part(data: bytes, ref: PartRef) -> Part:
    return decode_part(data, ref)


def _only(found: dict[str, tuple[bytes, Decode]], prefix: str) -> str:
    (name,) = [name for name in found if name.startswith(prefix)]
    return name


@cache
def objects() -> dict[str, tuple[bytes, Decode]]:
    """What `_made` made, once."""
    return simulate(_made, 1)


KINDS = ["repo.json", "log", "ckpt", "hint", "ref", "lease", "intent", "part", "idx"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_byte_is_checked(kind: str) -> None:
    found = {name: each for name, each in objects().items() if name.startswith(kind)}
    assert found
    for name, (body, decode) in found.items():
        decode(body)
        for place in range(len(body)):
            for flip in (0x01, 0x80):
                bad = bytearray(body)
                bad[place] ^= flip
                with pytest.raises(DataLoss) as caught:
                    decode(bytes(bad))
                assert caught.value.key == name.partition("@")[0].partition(" ")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_no_end_is_missing(kind: str) -> None:
    for name, (body, decode) in objects().items():
        if name.startswith(kind):
            # What is behind the last brace of a JSON document says nothing.
            for length in range(len(body) - (kind == "repo.json")):
                with pytest.raises(DataLoss):
                    decode(body[:length])


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in ("repo.json", "idx")])
def test_a_newer_version_is_refused_with_both(kind: str) -> None:
    for name, (body, decode) in objects().items():
        if name.startswith(kind) and " " not in name:
            newer = body[:5] + (7).to_bytes(4, "little") + body[9:-4]
            with pytest.raises(Unimplemented, match=r"version 7 .* version 1: upgrade"):
                decode(newer + crc32c(newer).to_bytes(4, "little"))


def test_a_newer_repository_is_refused_with_both() -> None:
    newer = Description("0" * 32, "0" * 12, 1).encode().replace(b'"version": 1', b'"version": 7')
    noted = newer.rpartition(b'"crc32c": "')[2][:8]
    blank = newer.replace(noted, b"0" * 8)
    newer = newer.replace(noted, f"{crc32c(blank):08x}".encode())
    with pytest.raises(Unimplemented, match=r"version 7 .* version 1; upgrade"):
        Description.decode(newer, object="repo.json")


def test_every_kind_of_frame_is_looked_at() -> None:
    seen = {body[4] for body, _ in objects().values() if body.startswith(frame.MAGIC)}
    assert seen == set(Kind) - {Kind.REPOSITORY, Kind.INTERIOR}
