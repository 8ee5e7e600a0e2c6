"""What an attack left on files, as somebody reads it who knows the document of the format alone."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asynctensor as at
from asynctensor.errors import NotFound
from tests.kvstores.repo.independent_reader import Reader, Repository

#: Branches and tags that are looked at, besides main.
_NAMES = 12


async def misread(repo: at.Repository, folder: Path, chance: random.Random) -> list[str]:
    """What the stranger and the library read differently, in words.

    Args:
        repo: The repository.
        folder: Where its files are; nobody writes there any more.
        chance: Chooses among branches and tags.
    """
    objects = _objects(folder)
    stranger = Repository(objects)
    main = stranger.branch("main")
    newest = stranger.newest(main)
    wrong = [each async for each in _states(repo, stranger, chance)]
    messages = [each.message async for each in repo.log()]
    if [each.message for each in stranger.log(main, newest)][::-1] != messages:
        wrong.append("the stranger reads another log")
    wrong += _checkpoint(objects, stranger, main)
    if stranger.closed(main):
        wrong.append("the stranger takes main for closed")
    return wrong


def _objects(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


async def _states(
    repo: at.Repository, stranger: Repository, chance: random.Random
) -> AsyncIterator[str]:
    branches = [each.name for each in await repo.branches() if each.name != "main"]
    tags = [each.name for each in await repo.tags()]
    for name in ["main", *chance.sample(branches, min(_NAMES, len(branches)))]:
        id_ = stranger.branch(name)
        if stranger.closed(id_):
            # Whoever deleted it was killed before its name was gone.
            if not await _is_gone(repo, name):
                yield f"branch {name} is closed, and yet can be read"
            continue
        found = stranger.values(stranger.state(id_, stranger.newest(id_)))
        if found != await _contents(repo.kvstore(branch=name)):
            yield f"the stranger reads something else in branch {name}"
    for name in chance.sample(tags, min(_NAMES, len(tags))):
        found = stranger.values(stranger.state(*stranger.tagged(name)))
        if found != await _contents(repo.kvstore(tag=name)):
            yield f"the stranger reads something else at tag {name}"


def _checkpoint(objects: Mapping[str, bytes], stranger: Repository, main: str) -> list[str]:
    """What the newest checkpoint, and the log behind it, say otherwise than the log alone."""
    slots = [name.rpartition("/")[2] for name in objects if name.startswith(f"ckpt/{main}/")]
    if not slots:
        return []
    seq = 2**63 - 1 - int(min(slots), 16)
    found = Reader(objects.get, main).state(seq)
    expected = stranger.state(main, stranger.newest(main))
    if {key: each[3] for key, each in found.items()} != {k: e[3] for k, e in expected.items()}:
        return [f"checkpoint {seq} says something else than the log"]
    return [] if stranger.values(found) == stranger.values(expected) else ["values differ"]


async def _is_gone(repo: at.Repository, branch: str) -> bool:
    try:
        await repo.kvstore(branch=branch).list()
    except NotFound:
        return True
    return False


async def _contents(store: at.KvStore) -> Mapping[str, bytes]:
    keys = await store.list()
    return {key.decode(): (await store.read(key)).value for key in keys}
