"""`last_changed` and `find` in a repository: exact, and from the index."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import Aborted, DataLoss, NotFound
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.faulty_store import FaultyStore


@pytest.fixture
async def repo() -> at.Repository:
    return await at.Repository.open("memory://lab/", create=True, context=at.Context())


async def array(repo: at.Repository, path: str, txn: Any = None, **options: Any) -> at.TensorStore:
    if options.get("create"):
        options = {"dtype": "uint16", "shape": [40, 40], **options}
        options["chunk_layout"] = at.ChunkLayout(chunk_shape=[2, 2])
    spec = {"driver": "zarr3", "kvstore": repo.kvstore(path)}
    return await at.open(spec, transaction=txn, **options)


async def test_a_repository_is_a_place_to_look_at(repo: at.Repository) -> None:
    root = await at.create_group(repo, attributes={"lab": "north"})
    await root.create_array("a", dtype="uint8", shape=[2])
    assert (await at.open_group(repo)).attrs == {"lab": "north"}
    assert await at.open_attributes(repo) == {"lab": "north"}
    assert [each.path for each in await at.find(repo)] == ["", "a"]
    newest = (await repo.log(limit=1))[0]
    assert (await at.last_changed(repo)).commit == newest.id
    with pytest.raises(TypeError, match="a repository, not int"):
        at.find(5)


@pytest.mark.parametrize("folded", [False, True])
async def test_who_changed_what(repo: at.Repository, folded: bool) -> None:
    ids = []
    for number, (author, rows) in enumerate([("ada", 40), ("bob", 6), ("eve", 2)]):
        async with repo.transaction(message=f"commit {number}", author=author) as txn:
            image = await array(repo, "image/", txn, create=not number)
            await image[:rows].write(number + 1)
            await array(repo, f"other{number}/", txn, create=True)
        ids.append(txn.commit_id)
    group = await at.create_group(repo.kvstore("group/"), attributes={"a": 1})
    async with repo.transaction(message="attributes", author="max") as txn:
        attributes = await at.open_attributes(repo.kvstore("group/"), transaction=txn)
        await attributes.update({"a": 2})
    if folded:
        branch = await start(repo._state.branch, "main")
        await start(fold_branch, branch, repo._state.place)
    image = await array(repo, "image/")
    commits = {each.id: each async for each in repo.log()}
    for view, author, count in (
        (image, "eve", 400), (image[2:], "bob", 380), (image[6:], "ada", 340),
        (image[5, 5], "bob", 1), (image[6, 30], "ada", 1), (image[3:9, 3:5], "bob", 8),
    ):  # fmt: skip
        found = await at.last_changed(view)
        expected = ids[["ada", "bob", "eve"].index(author)]
        assert (found.author, found.commit, found.values) == (author, expected, count)
        assert found.message == commits[expected].message
        assert found.format == (await at.last_changed(at.cast(view, "float32"))).format == "zarr3"
        assert found.datetime == commits[expected].time
        assert found.key.startswith("image/c/")
        assert f"by {author} in commit {expected}: commit" in str(found)
    assert (await at.last_changed(repo.kvstore("image/zarr.json"))).author == "ada"
    assert (await at.last_changed(repo.kvstore("image/"))).author == "eve"
    assert (await at.last_changed(repo.kvstore("other1/"))).key == "other1/zarr.json"
    assert (await at.last_changed(repo.kvstore())).author == "max"
    for what in (group, group.attrs, repo.kvstore("group/")):
        found = await at.last_changed(what)
        assert (found.author, found.commit, found.values) == ("max", txn.commit_id, 1)
    nothing = await at.last_changed(repo.kvstore("nothing/"))
    assert (nothing.time, nothing.commit, nothing.values) == (None, None, 0)
    old = await at.last_changed(repo.kvstore("image/", snapshot=ids[1]))
    assert old.commit == ids[1]


NODE_KINDS = [(driver, kind) for driver in ("zarr3", "zarr", "n5") for kind in ("array", "group")]


async def node(repo: at.Repository, driver: str, kind: str, *, create: bool = False) -> Any:
    """An array or a group of a format at ``node/``."""
    kvstore = repo.kvstore("node/")
    if kind == "group":
        return await (at.create_group if create else at.open_group)(kvstore, driver=driver)
    given = {"create": True, "dtype": "uint8", "shape": [4]} if create else {}
    return await at.open({"driver": driver, "kvstore": kvstore}, **given)


@pytest.mark.parametrize("folds", [0, 1, 4])
@pytest.mark.parametrize(("driver", "kind"), NODE_KINDS)
async def test_who_changed_one_attribute(
    repo: at.Repository, driver: str, kind: str, folds: int
) -> None:
    made = await node(repo, driver, kind, create=True)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("ada", {"unit": "nm", "a": 1}), ("bob", {"a": 2}), ("eve", {"unit": "nm", "b": True}),
        ("max", {"b": 1}), ("zoe", {"a": 3}), ("ivo", {"gone": 1}), ("kim", {"gone": ...}),
        ("lea", {"a": 1}), ("una", {"c": 0}),
    ]  # fmt: skip
    ids: dict[str, str | None] = {}
    for number, (author, values) in enumerate(steps):
        async with repo.transaction(message=f"by {author}", author=author) as txn:
            attributes = await at.open_attributes(
                repo.kvstore("node/"), driver=driver, transaction=txn
            )
            for name, value in values.items():
                await (attributes.delete(name) if value is ... else attributes.set(name, value))
        ids[author] = txn.commit_id
        if (number % 3 == 0 and folds == 4) or (number == 6 and folds == 1):
            branch = await start(repo._state.branch, "main")
            await start(fold_branch, branch, repo._state.place)
    kvstore = repo.kvstore("node/")
    attributes = await at.open_attributes(kvstore, driver=driver)
    made = await node(repo, driver, kind)
    expected = {"unit": "ada", "a": "lea", "b": "max", "gone": "kim", "c": "una"}
    for what in (made, attributes, kvstore):
        for name, author in expected.items():
            found = await at.last_changed(what, attribute=name)
            assert (found.author, found.commit) == (author, ids[author])
            assert (found.message, found.attribute, found.format) == (f"by {author}", name, driver)
            assert str(found).startswith(f"attribute '{name}' in 'node/")
    never = await at.last_changed(made, attribute="never")
    assert (never.time, never.commit) == (None, None)
    assert str(never).startswith("no attribute 'never' is stored")
    # Of an older state; and what a branch was reset to, of which what is undone says nothing.
    old = repo.kvstore("node/", snapshot=ids["zoe"])
    assert (await at.last_changed(old, attribute="a")).author == "zoe"
    await repo.reset("main", ids["max"])
    assert (await at.last_changed(kvstore, attribute="a")).author == "bob"
    assert (await at.last_changed(kvstore, attribute="b")).author == "max"
    assert (await at.last_changed(kvstore, attribute="c")).commit is None
    await (await at.open_attributes(kvstore)).set("a", 9)
    newest = await repo.refresh()
    assert (await at.last_changed(kvstore, attribute="a")).commit == newest
    assert (await at.last_changed(kvstore, attribute="unit")).author == "ada"
    assert (await at.last_changed(kvstore)).format == driver


async def attributes_at(repo: at.Repository, commit: str) -> dict[str, Any] | None:
    found = await repo.kvstore(snapshot=commit).read("node/zarr.json")
    return json.loads(found.value).get("attributes", {}) if found.state == "value" else None


async def lived(repo: at.Repository, chance: random.Random) -> None:
    """Attributes set and deleted, the node deleted and made anew, resets, reverts, folds."""
    kvstore, commits = repo.kvstore("node/"), [await repo.refresh()]
    for number in range(chance.randrange(3, 16)):
        name, what = chance.choice("ab"), chance.random()
        if what < 0.1:
            await repo.kvstore().write(f"other{number}", b"1")
        elif what < 0.2:
            await repo.reset("main", chance.choice(commits) or "")
        elif what < 0.3:
            await kvstore.delete_range(at.KvStore.KeyRange())
        elif what < 0.4:
            with suppress(at.Error):
                await repo.revert(chance.choice(commits) or "")
        elif what < 0.5:
            branch = await start(repo._state.branch, "main")
            await start(fold_branch, branch, repo._state.place)
        elif (await kvstore.read("zarr.json")).state == "missing":
            await at.create_group(kvstore, attributes={name: chance.randrange(2)})
        elif what < 0.6:
            await (await at.open_attributes(kvstore)).delete(name)
        else:
            await (await at.open_attributes(kvstore)).set(name, chance.randrange(2))
        commits.append(await repo.refresh())


@pytest.mark.parametrize("seed", range(12))
async def test_one_attribute_as_the_log_has_it(repo: at.Repository, seed: int) -> None:
    await at.create_group(repo.kvstore("node/"), attributes={"a": 1})
    await lived(repo, random.Random(seed))
    states = [(each.id, await attributes_at(repo, each.id)) async for each in repo.log()]
    for name in "ab":
        if states[0][1] is None:
            with pytest.raises(NotFound):
                await at.last_changed(repo.kvstore("node/"), attribute=name)
            continue
        expected = None
        for (commit, values), (_, older) in pairwise([*states, ("", None)]):
            if (values or {}).get(name) != (older or {}).get(name):
                expected = commit
            if older is None or expected is not None:
                break
        assert (await at.last_changed(repo.kvstore("node/"), attribute=name)).commit == expected


async def test_attributes_set_when_the_node_was_made(repo: at.Repository) -> None:
    async with repo.transaction(author="ada") as txn:
        await at.create_group(repo.kvstore("g/"), attributes={"a": 1}, transaction=txn)
    await (await at.open_attributes(repo.kvstore("g/"))).set("b", 1)
    assert (await at.last_changed(repo.kvstore("g/"), attribute="a")).author == "ada"
    # Deleted and made anew: that it was the same before does not count.
    await repo.kvstore("g/").delete_range(at.KvStore.KeyRange())
    async with repo.transaction(author="eve") as txn:
        await at.create_group(repo.kvstore("g/"), attributes={"a": 1}, transaction=txn)
    assert (await at.last_changed(repo.kvstore("g/"), attribute="a")).author == "eve"
    with pytest.raises(NotFound):
        await at.last_changed(repo.kvstore("nothing/"), attribute="a")


async def test_one_attribute_costs_what_its_document_changed_since(repo: at.Repository) -> None:
    """Other keys' commits are not looked at, however many they are."""
    async with repo.transaction(author="ada") as txn:
        await at.create_group(repo.kvstore("g/"), attributes={"a": 1}, transaction=txn)
    for number in range(200):
        await repo.kvstore().write(f"other{number}", b"x")
    found = await at.last_changed(repo.kvstore("g/"), attribute="a")
    assert (found.author, found.values) == ("ada", 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(["a", "b/c", "x/0/1", "x/0/2", "x/1/0", "x/1/12", "y/0.1"]),
                st.booleans(), min_size=1, max_size=4,
            ),
            st.booleans(),
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_newest_of_ranges(commits: list[tuple[dict[str, bool], bool]]) -> None:
    async def program() -> None:
        state = RepositoryState(place_of(MemoryStore(), ""))
        store = RepositoryStore(state, source_of(state, {}))
        await state.create()
        wrote: dict[str, str] = {}
        for values, fold in commits:
            domain = store.commit_domain
            assert domain is not None
            done = await domain.commit(
                Commit(values={key: b"v" if write else None for key, write in values.items()})
            )
            for key, write in values.items():
                wrote.pop(key, None)
                if write:
                    wrote[key] = done.commit_id
            if fold:
                await fold_branch(await state.branch("main"), state.place)
        order = {id_: n for n, id_ in enumerate(dict.fromkeys(wrote.values()))}
        order = {id_: int(id_.partition("-")[2]) for id_ in order}
        for prefix in ("", "x/", "x/0/", "x/1/1", "y/", "a", "z"):
            inside = {key: id_ for key, id_ in wrote.items() if key.startswith(prefix)}
            count, found = await store.history.newest(KeyRange.prefix(prefix))
            assert count == len(inside)
            assert (found and found.commit) == max(inside.values(), key=order.get, default=None)
            assert found is None or inside[found.key] == found.commit
            names = {key[len(prefix) :].partition("/")[0] + "/" * ("/" in key[len(prefix) :])
                     for key in inside}  # fmt: skip
            if not prefix or prefix.endswith("/"):
                listed = [e.key[len(prefix) :] async for e in store.list_directory(prefix)]
                assert sorted(listed) == sorted(names)

    start(program).result()


async def test_find_does_not_list_chunks() -> None:
    """Arrays of zarr2 whose chunks are ``0/0/0/1`` below a group: the index leads past them."""
    base = MemoryStore()
    state = RepositoryState(place_of(base, ""))
    store = RepositoryStore(state, source_of(state, {}))
    array = b'{"zarr_format":2,"shape":[300,300],"chunks":[1,1],"dtype":"|u1","compressor":null,'
    array += b'"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}'
    chunks = {
        f"image/{level}/{i}/{j}": b"x" for level in (0, 1) for i in range(150) for j in range(150)
    }

    async def made() -> None:
        await state.create()
        domain = store.commit_domain
        assert domain is not None
        values = {f"image/{level}/.zarray": array for level in (0, 1)}
        await domain.commit(
            Commit(values={"image/.zgroup": b'{"zarr_format":2}', **values, **chunks})
        )
        await fold_branch(await state.branch("main"), state.place)

    await start(made)
    counting = FaultyStore(base)
    reader = RepositoryState(place_of(counting, ""))
    kvstore = at.KvStore(RepositoryStore(reader, source_of(reader, {})), "")
    found = await at.find(kvstore)
    assert [each.path for each in found] == ["image", "image/0", "image/1"]
    assert counting.count("read", lambda key: key.startswith("idx/")) <= 9
    assert counting.count("list", lambda key: not key.startswith("ckpt/")) == 0
    everything = await at.last_changed(kvstore / "image/1/")
    assert everything.values == 150 * 150 + 1


def zarr3(kind: str, **said: Any) -> bytes:
    document: dict[str, Any] = {"zarr_format": 3, "node_type": kind, **said}
    if kind == "array":
        document |= {
            "shape": [8], "data_type": "uint8", "fill_value": 0, "codecs": [{"name": "bytes"}],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
            "chunk_key_encoding": {"name": "default"},
        }  # fmt: skip
    return json.dumps(document).encode()


ZARR2 = (
    b'{"zarr_format":2,"shape":[8],"chunks":[2],"dtype":"|u1","compressor":null,"fill_value":0,'
    b'"order":"C","filters":null}'
)
N5 = b'{"dimensions":[8],"blockSize":[2],"dataType":"uint8","compression":{"type":"raw"}}'
#: Nodes of several formats, in plain folders, below arrays, beside each other; some damaged.
NODES = {
    "zarr.json": zarr3("group", attributes={"a": 1}),
    "g/zarr.json": zarr3("group"),
    "g/a/zarr.json": zarr3("array", attributes={"long": "x" * 9000}),
    "g/a/below/zarr.json": zarr3("array"),
    "g/a/c/0": b"chunk",
    "g-/a/zarr.json": zarr3("array"),
    "plain/folder/b/.zarray": ZARR2,
    "plain/folder/b/.zattrs": b'{"unit": "nm"}',
    "plain/folder/b/0": b"chunk",
    "plain/folder/b/c/.zarray": ZARR2,
    "plain/.zgroup": b'{"zarr_format": 2}',
    "n5/attributes.json": b'{"n5": "2.5.1"}',
    "n5/s0/attributes.json": N5,
    "both/zarr.json": zarr3("array"),
    "both/.zarray": ZARR2,
    "broken/zarr.json": b"{",
    "broken/inner/zarr.json": zarr3("array"),
    "notes.json": b"no node",
}


@pytest.mark.parametrize("prefix", ["", "g/", "plain/folder/", "g/a/", "nothing/"])
@pytest.mark.parametrize("folded", [False, True])
async def test_find_gives_what_a_walk_gives(prefix: str, folded: bool) -> None:
    plain, base = MemoryStore(), MemoryStore()
    state = RepositoryState(place_of(base, ""))
    store = RepositoryStore(state, source_of(state, {}))

    async def made() -> None:
        await state.create()
        assert store.commit_domain is not None
        for key, value in NODES.items():
            await plain.write(key, value)
        some = dict(list(NODES.items())[::2])
        await store.commit_domain.commit(Commit(values={**some, "g/zarr.json": b"older"}))
        if folded:
            await fold_branch(await state.branch("main"), state.place)
        await store.commit_domain.commit(Commit(values=NODES))

    await start(made)

    async def found(each: Any) -> list[tuple[Any, ...]]:
        kvstore = at.KvStore(each, prefix)
        nodes = at.find(kvstore, damaged="skip")
        return [(one.path, one.kind, one.driver, one.attributes) async for one in nodes]

    assert await found(store) == await found(plain)
    if not prefix:
        with pytest.raises(DataLoss, match=r"broken/zarr\.json|broken/"):
            await at.find(at.KvStore(store, ""))


@pytest.mark.parametrize("prefix", ["", "g/", "g/a/", "plain/folder/", "new/"])
async def test_find_in_a_transaction_gives_what_a_walk_gives(prefix: str) -> None:
    """What is stored, what is staged over it, and what is deleted: from the index."""
    plain = MemoryStore()
    state = RepositoryState(place_of(MemoryStore(), ""))
    store = RepositoryStore(state, source_of(state, {}))
    nodes = {key: value for key, value in NODES.items() if "broken" not in key}

    async def made() -> None:
        await state.create()
        assert store.commit_domain is not None
        for key, value in nodes.items():
            await plain.write(key, value)
        await store.commit_domain.commit(Commit(values=nodes))
        await fold_branch(await state.branch("main"), state.place)

    await start(made)

    async def found(each: Any, transaction: at.Transaction) -> list[tuple[Any, ...]]:
        staged = at.KvStore(each, "", transaction=transaction)
        await staged.write("g/zarr.json", zarr3("group", attributes={"staged": True}))
        await staged.write("new/a/zarr.json", zarr3("array"))
        await staged.write("new/zarr.json", zarr3("group"))
        await staged.write("both/zarr.json", None)
        await staged.write("notes/c/0", b"chunk")
        await staged.delete_range(at.KvStore.KeyRange("plain/folder/b/", "plain/folder/b0"))
        await staged.write("plain/folder/b/.zgroup", b'{"zarr_format": 2}')
        kvstore = at.KvStore(each, prefix, transaction=transaction)
        return [(one.path, one.kind, one.driver, one.attributes) async for one in at.find(kvstore)]

    expected = await found(plain, at.Transaction(atomic=False))
    assert expected
    assert await found(store, at.Transaction()) == expected


async def test_what_find_found_in_a_transaction_is_validated(repo: at.Repository) -> None:
    await array(repo, "g/a/", create=True)
    await array(repo, "h/a/", create=True)

    async def looked(where: str, path: str, **options: Any) -> at.Transaction:
        txn = repo.transaction(message="looked")
        assert await at.find(repo.kvstore(where, transaction=txn))
        await array(repo, path, **options)
        return txn

    for where, path in (("g/", "g/b/"), ("", "i/"), ("h/a/", "h/a/0/")):
        txn = await looked(where, path, create=True)
        if where == "h/a/":
            # What is below an array was not looked at.
            await txn.commit_async()
            continue
        with pytest.raises(Aborted):
            await txn.commit_async()
    txn = repo.transaction(message="looked")
    assert await at.find(repo.kvstore("h/a/", transaction=txn))
    await (await at.open_attributes(repo.kvstore("h/a/"))).update({"unit": "nm"})
    with pytest.raises(Aborted):
        await txn.commit_async()


@pytest.mark.parametrize("transacted", [False, True])
async def test_find_asks_for_the_documents_of_many_nodes_together(transacted: bool) -> None:
    base = MemoryStore()
    state = RepositoryState(place_of(base, ""))
    store = RepositoryStore(state, source_of(state, {}))
    values = {
        f"g{i // 20}/a{i}/zarr.json": zarr3("array", attributes={"number": i, "long": "x" * 300})
        for i in range(400)
    }

    async def made() -> None:
        await state.create()
        assert store.commit_domain is not None
        await store.commit_domain.commit(Commit(values=values))
        await fold_branch(await state.branch("main"), state.place)

    await start(made)
    counting = FaultyStore(base)
    reader = RepositoryState(place_of(counting, ""))
    shown = at.KvStore(RepositoryStore(reader, source_of(reader, {})), "")
    txn = at.Transaction() if transacted else None
    assert len(await at.find(shown, attributes={"number": 7}, transaction=txn)) == 1
    assert counting.count("read", lambda key: key.startswith(("idx/", "data/"))) <= 6
    assert counting.count("list", lambda key: not key.startswith("ckpt/")) == 0
    # Of a document that is lost, the others are told all the same.
    (pack,) = [e.key async for e in base.list(KeyRange.prefix("data/"))]
    body = bytearray((await base.read(pack)).value)
    body[len(body) // 2] ^= 1
    await base.write(pack, bytes(body))
    seen = []
    with pytest.raises(DataLoss, match=r"a\d+/zarr\.json"):
        async for each in at.find(shown):
            seen.append(each.path)
    assert 0 < len(seen) < 400
