"""What the docstrings of `Repository` and `Transaction` say, method by method, on every store."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle

import pytest

import asynctensor as at
from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    CommitUnknown,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)

NOWHERE = "000000000000-3"


async def put(repo: at.Repository, key: str, value: bytes, **said) -> str:
    txn = repo.transaction(**said)
    await repo.kvstore(transaction=txn, branch=said.get("branch")).write(key, value)
    await txn.commit_async()
    assert txn.commit_id is not None
    return txn.commit_id


async def got(repo: at.Repository, key: str, **state) -> bytes | None:
    found = await repo.kvstore(**state).read(key)
    return found.value if found.state == "value" else None


async def ids(repo: at.Repository, *source: str, limit: int | None = None) -> list[str]:
    return [each.id async for each in repo.log(*source, limit=limit)]


async def test_open(place) -> None:
    context = at.Context()
    with pytest.raises(NotFound, match="create=True"):
        await at.Repository.open(place, context=context)
    with pytest.raises(InvalidArgument):
        at.Repository.open(5)
    with pytest.raises(Unimplemented, match="only if it is absent"):
        await at.Repository.open("http://127.0.0.1:1/lab/", create=True)
    repo = await at.Repository.open(place, create=True, context=context)
    await put(repo, "a", b"1")
    for create in (True, False):
        again = await at.Repository.open(place, create=create, context=context)
        assert await got(again, "a") == b"1"
        assert repr(again) == repr(repo)
    with pytest.raises(DeadlineExceeded):
        await at.Repository.open(place, timeout=0)


async def test_a_repository_without_commits(repo) -> None:
    assert await ids(repo) == []
    assert await repo.refresh() is None
    assert await repo.tags() == []
    (main,) = await repo.branches()
    assert (main.name, main.origin) == ("main", None)
    with pytest.raises(FailedPrecondition, match="no commit"):
        await repo.create_tag("v1")
    assert await repo.create_branch("next") is None
    assert [each.origin for each in await repo.branches()] == [None, None]
    assert await put(repo, "a", b"1", branch="next") == await repo.refresh("next")
    assert await repo.refresh() is None


async def test_states_of_a_kvstore(repo) -> None:
    one = await put(repo, "a", b"1")
    await repo.create_tag("v1")
    (info,) = [each async for each in repo.log()]
    await put(repo, "a", b"2")
    for time in (info.time, info.time.isoformat(), info.time.replace(tzinfo=None).isoformat()):
        assert await got(repo, "a", as_of=time) == b"1"
    assert await got(repo, "a", as_of=dt.datetime(2999, 1, 1, tzinfo=dt.UTC)) == b"2"
    for state in ({"tag": "v1"}, {"snapshot": one}, {"as_of": info.time}):
        with pytest.raises(FailedPrecondition, match="never changes"):
            await repo.kvstore(**state).write("a", b"3")
    for wrong in (
        {"branch": "a", "tag": "b"},
        {"snapshot": "v1"},
        {"tag": ""},
        {"as_of": "yesterday"},
        {"as_of": info.time.replace(tzinfo=None)},
    ):
        with pytest.raises(InvalidArgument):
            repo.kvstore(**wrong)
    for missing in ({"branch": "x"}, {"tag": "x"}, {"snapshot": NOWHERE}, {"snapshot": one + ".7"}):
        store = repo.kvstore(**missing)
        with pytest.raises(NotFound):
            await store.read("a")
    with pytest.raises(NotFound, match="did not exist"):
        await got(repo, "a", as_of="2001-01-01T00:00:00Z")


async def test_transaction(repo) -> None:
    said = {"message": "why", "author": "ada", "metadata": {"plate": [1, None]}}
    txn = repo.transaction(**said)
    assert (txn.message, txn.author, txn.metadata) == tuple(said.values())
    assert (txn.atomic, txn.repeatable_read, txn.isolation) == (True, True, "serializable")
    assert (txn.open, txn.commit_started, txn.aborted, txn.commit_id) == (True, False, False, None)
    waiting = txn.future
    store = repo.kvstore("image/", transaction=txn)
    await store.write("a", b"1")
    assert (await store.read("a")).value == b"1"
    assert await got(repo, "image/a") is None
    assert not waiting.done()
    assert txn.commit_async() is txn.commit_async()
    await waiting
    assert (txn.open, txn.commit_started, txn.aborted) == (False, True, False)
    (commit,) = [each async for each in repo.log()]
    assert (commit.id, commit.kind, commit.parents) == (txn.commit_id, "commit", ())
    assert (commit.message, commit.author, commit.metadata) == tuple(said.values())
    assert commit.changes.documents == ("image/a",)
    assert str(commit).endswith(" ada: why")
    for again in (txn.abort, lambda: store.write("a", b"2").result()):
        with pytest.raises(FailedPrecondition, match="not open"):
            again()
    with pytest.raises(Unimplemented, match="pickled"):
        pickle.dumps(txn)


async def test_a_transaction_that_cannot_be(repo) -> None:
    for wrong in (
        {"isolation": "weak"},
        {"metadata": {"a": object()}},
        {"metadata": {"a": float("nan")}},
        {"message": 5},
        {"author": b"ada"},
        {"message": "\ud800"},
    ):
        with pytest.raises(InvalidArgument):
            repo.transaction(**wrong)
    txn = repo.transaction(branch="nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        await repo.kvstore(branch="nowhere", transaction=txn).read("a")
    assert await ids(repo) == []


async def test_an_aborted_transaction(repo) -> None:
    txn = repo.transaction()
    await repo.kvstore(transaction=txn).write("a", b"1")
    txn.abort()
    txn.abort()
    assert (txn.open, txn.commit_started, txn.aborted) == (False, False, True)
    with pytest.raises(Aborted):
        await txn.future
    with pytest.raises(FailedPrecondition, match="not open"):
        await txn.commit_async()
    assert await repo.kvstore().list() == []


async def test_a_transaction_that_changes_nothing_is_a_commit(repo) -> None:
    async with repo.transaction(message="nothing") as txn:
        pass
    assert await ids(repo) == [txn.commit_id]


async def test_log(repo) -> None:
    one, two = await put(repo, "a", b"1"), await put(repo, "a", b"2")
    await repo.create_tag("v1", one)
    assert await ids(repo) == [two, one]
    assert [each.id for each in await asyncio.to_thread(list, repo.log())] == [two, one]
    assert await ids(repo, limit=1) == [two]
    assert await ids(repo, limit=0) == []
    assert await ids(repo, "v1") == await ids(repo, one) == [one]
    with pytest.raises(InvalidArgument, match="limit"):
        repo.log(limit=-1)
    for missing in ("x", NOWHERE, one + ".7", one[:12] + "-9"):
        with pytest.raises(NotFound):
            await ids(repo, missing)
    with pytest.raises(NotFound):
        await repo.refresh("x")


async def test_revert_and_reset(repo) -> None:
    one, two = await put(repo, "a", b"1"), await put(repo, "a", b"2")
    await repo.create_branch("other", one)
    undone = await repo.revert(two, author="eve")
    assert await got(repo, "a") == b"1"
    await repo.revert(undone, message="again")
    assert await got(repo, "a") == b"2"
    said = [(each.kind, each.message, each.author) async for each in repo.log(limit=2)]
    assert said == [
        ("revert", "again", None),
        ("revert", f"Revert {two}: (no message)", "eve"),
    ]
    with pytest.raises(Aborted) as caught:
        await repo.revert(one)
    assert caught.value.key == "a"
    newest = await repo.refresh()
    with pytest.raises(Aborted, match="newer"):
        await repo.reset("main", one, expected=two)
    reset = await repo.reset("main", one, expected=newest, message="back", author="bob")
    assert await got(repo, "a") == b"1"
    (commit,) = [each async for each in repo.log(limit=1)]
    assert (commit.id, commit.kind, commit.parents) == (reset, "reset", (one,))
    assert (commit.message, commit.author) == ("back", "bob")
    with pytest.raises(InvalidArgument, match="reset"):
        await repo.revert(reset)
    for edit in (lambda b, c: repo.revert(c, branch=b), repo.reset):
        with pytest.raises(FailedPrecondition, match="no commit of branch"):
            await edit("other", two)
        for branch, commit in (("x", one), ("main", NOWHERE), ("main", one + ".7"), ("main", "x")):
            with pytest.raises(NotFound):
                await edit(branch, commit)


async def test_branches(repo) -> None:
    one = await put(repo, "a", b"1")
    assert await repo.create_branch("fix") == one
    assert await repo.create_branch("fix of fix", "fix") == one
    assert sorted((each.name, each.origin or "") for each in await repo.branches()) == [
        ("fix", one),
        ("fix of fix", one),
        ("main", ""),
    ]
    await put(repo, "a", b"2", branch="fix of fix")
    assert [await got(repo, "a", branch=each) for each in ("fix", "fix of fix")] == [b"1", b"2"]
    with pytest.raises(AlreadyExists):
        await repo.create_branch("fix", one)
    for missing in ("x", NOWHERE, one + ".7"):
        with pytest.raises(NotFound):
            await repo.create_branch("new", missing)
    for wrong in ("", one, "a" * 241, 5):
        with pytest.raises(InvalidArgument):
            await repo.create_branch(wrong)
    held = repo.kvstore(branch="fix")
    assert (await held.read("b")).state == "missing"
    fixed = await put(repo, "b", b"3", branch="fix")
    await repo.delete_branch("fix")
    with pytest.raises(FailedPrecondition, match="deleted"):
        await held.write("b", b"4")
    assert (await held.read("b")).value == await got(repo, "b", snapshot=fixed) == b"3"
    with pytest.raises(NotFound):
        await repo.delete_branch("fix")
    await repo.create_branch("fix", one)
    assert await got(repo, "b", branch="fix") is None


async def test_tags(repo) -> None:
    one = await put(repo, "a", b"1")
    assert await repo.create_tag("v1", message="first", author="ada") == one
    await put(repo, "a", b"2")
    assert await repo.create_tag("v1 again", "v1") == one
    assert [(t.name, t.commit, t.message, t.author) for t in await repo.tags()] == [
        ("v1", one, "first", "ada"),
        ("v1 again", one, None, None),
    ]
    with pytest.raises(AlreadyExists):
        await repo.create_tag("v1")
    for missing in ("x", NOWHERE, one + ".7"):
        with pytest.raises(NotFound):
            await repo.create_tag("new", missing)
    for wrong in ({"name": ""}, {"name": one}, {"name": "v2", "message": 5}):
        with pytest.raises(InvalidArgument):
            await repo.create_tag(**wrong)
    await repo.delete_tag("v1")
    with pytest.raises(NotFound):
        await repo.delete_tag("v1")
    with pytest.raises(AlreadyExists, match="never made anew"):
        await repo.create_tag("v1")
    assert [each.name for each in await repo.tags()] == ["v1 again"]


async def test_diff_and_verify(repo) -> None:
    one = await put(repo, "a", b"1")
    two = await put(repo, "b", b"2")
    assert [each.key for each in (await repo.diff(one)).documents] == ["b"]
    assert [each.kind for each in await repo.diff(two, one)] == ["deleted"]
    for state in (None, "main", one):
        assert (await repo.verify(state)).damaged == 0
    for wrong, error in (("x", NotFound), (one + ".7", NotFound), (5, InvalidArgument)):
        for look in (repo.diff, repo.verify):
            with pytest.raises(error):
                await look(wrong)


async def test_resolve_takes_an_error_that_names_a_transaction(repo) -> None:
    for wrong in (CommitUnknown("lost"), ValueError("lost"), "lost"):
        with pytest.raises(InvalidArgument):
            repo.resolve(wrong)


async def test_what_cannot_be_stored_fails_alone(repo) -> None:
    one = await put(repo, "a", b"1")
    edits = [repo.reset("main", one, message=message) for message in (5, "\ud800", "fine")]
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    assert [type(each) for each in outcomes] == [InvalidArgument, InvalidArgument, str]
    assert await ids(repo) == [outcomes[2], one]


async def test_pickles(place) -> None:
    repo = await at.Repository.open(place, create=True)
    await put(repo, "a", b"1")
    again = pickle.loads(pickle.dumps(repo))
    if place != "memory://lab/":
        assert await got(again, "a") == b"1"
    assert repr(again) == repr(repo)
