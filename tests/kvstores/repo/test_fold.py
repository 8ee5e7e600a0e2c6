"""Random programs of folds against a dictionary."""

from __future__ import annotations

import dataclasses

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS, Family, keys_of
from asynctensor.kvstores.repo.fold import LIMITS, Limits, fold
from asynctensor.kvstores.repo.page import Interior, Leaf, PageRef, decode_page
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.kvstores.repo.tree import difference, find, find_each, find_many, scan
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.pages import SHORT, TINY, PageStore
from tests.kvstores.repo.programs import refuses_damage

FAMILY = Family.of("a/c/", "/", 2)
#: Few keys, so that programs meet the same ones again.
POSITIONS = [(i, j) for i in (0, 1, 2, 10, 11) for j in (0, 1, 2, 3, 20)]
FAMILY_KEYS = [FAMILY.parse(f"a/c/{i}/{j}") for i, j in POSITIONS]
STRINGS = ["", "a", "a/b", "a/b\0", "é", "z", "a/c/1", *[f"a/c/{n}/zarr.json" for n in range(20)]]
BOUNDS = ["", "a", "a/c/", "a/c/1", "a/c/1/", "a/c/10/1", "a/c/2/", "a/c/3", "a/c0", "b", "é"]
VALUES = st.one_of(
    st.none(),
    st.none(),
    st.integers(0, 3).map(lambda n: Ref(f"x/{n}", n, 7 * n, 11 * n)),
    st.integers(0, 12).map(lambda n: Ref.of_inline(b"v" * n)),
)


def _program(keys):
    changes = st.dictionaries(st.sampled_from(keys), VALUES, max_size=20)
    cleared = st.lists(
        st.one_of(
            st.builds(KeyRange, st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)),
            st.sampled_from(BOUNDS).map(KeyRange.prefix),
        ),
        max_size=1,
    )
    return st.lists(st.tuples(changes, cleared), min_size=1, max_size=5)


class _World:
    """One tree, its history, and a dictionary that should agree."""

    def __init__(self, family, limits) -> None:
        self.family = family
        self.limits = limits
        self.store = PageStore(pack_bytes=300)
        self.space = family.id if family else DOCUMENTS
        self.spell = family.spell if family else bytes.decode
        self.root = None
        self.model: dict[bytes, Ref] = {}

    def fold(self, changes, cleared, seq) -> None:
        before_root, before = self.root, dict(self.model)
        kept = {k: r for k, r in before.items() if not any(self.spell(k) in c for c in cleared)}
        for key, ref in changes.items():
            if ref is None:
                kept.pop(key, None)
            else:
                kept[key] = ref._replace(version=(seq, 1))
        self.model = kept
        run = Run.of(self.space, changes.items()).stamped((seq, 1))
        packs = self.store.new_packs()
        folded = self.store.run(fold(before_root, run, cleared, self.family, packs, self.limits))
        self.root = folded.root
        self.store.keep(packs)
        self._check_tree(before_root, before, folded.dead)

    def _check_tree(self, before_root, before, dead) -> None:
        pages, entries = self.store.reached(self.root, self.limits)
        assert self.read(entries) == self.read(self.model)
        old_pages, old_entries = self.store.reached(before_root, self.limits)
        # What is dead is what the old tree alone has, each thing once.
        dead_pages = [*dead.pages]
        dead_refs = [item for run in dead.refs for item in run.items()]
        for root in dead.trees:
            below, gone = self.store.reached(root, dataclasses.replace(self.limits))
            dead_pages += below
            dead_refs += gone.items()
        assert len(set(dead_pages)) == len(dead_pages)
        assert set(dead_pages) == old_pages - pages
        gone = {(key, ref) for key, ref in old_entries.items() if entries.get(key) != ref}
        assert sorted(dead_refs, key=str) == sorted(gone, key=str)
        if before_root is not None and self.root is not None:
            assert self.differing(before_root, self.root) == {
                key: (before.get(key), self.model.get(key))
                for key in before.keys() | self.model.keys()
                if not _same(before.get(key), self.model.get(key))
            }

    def read(self, entries):
        """What is stored for each key, wherever it is."""
        result = {}
        for key, ref in entries.items():
            value = ref.inline
            if value is None and ref.object.startswith("idx/"):
                value = self.store.read(ref)
            place = value if value is not None else (ref.object, ref.offset)
            result[key] = (place, ref.size, ref.crc, ref.version)
        return result

    def differing(self, one, other):
        steps: list = []
        self.store.run(difference(one, other), steps)
        found = {}
        for step in steps:
            assert step.one.keys is not None
            for (key, left), (also, right) in zip(
                step.one.items(), step.other.items(), strict=True
            ):
                assert key == also
                assert key not in found
                found[key] = (_value(left), _value(right))
        assert list(found) == sorted(found)
        return _Differing(found)


class _Differing(dict):
    def __eq__(self, other: object) -> bool:
        return dict(self) == {key: tuple(map(_value, each)) for key, each in other.items()}

    __hash__ = None


def _value(ref):
    return ref and (ref.size, ref.crc, ref.version)


def _same(one, other):
    if one is None or other is None:
        return one is other
    if (one.size, one.crc) != (other.size, other.crc):
        return False
    # A long inline value is moved to another place by each fold.
    moved = one.inline is not None and one.size > 6
    return one.version == other.version or (
        one.object == other.object and one.offset == other.offset and not moved
    )


def _run_program(program, family, limits, keys) -> None:
    world = _World(family, limits)
    for seq, (changes, cleared) in enumerate(program, start=1):
        world.fold(changes, cleared, seq)
    for key in keys[::3]:
        expected = world.read({key: world.model[key]}) if key in world.model else {}
        found = world.store.run(find(world.root, key))
        assert world.read({key: found} if found else {}) == expected
    if family:
        each = world.store.run(find_each(world.root, keys))
        assert each == [world.store.run(find(world.root, key)) for key in keys]
    some = sorted(keys[1::2])
    column = np.array(some, dtype=(np.bytes_, family.width)) if family else some
    found = world.store.run(find_many(world.root, column))
    assert world.read(dict(found.items())) == world.read(
        {k: r for k, r in world.model.items() if k in some}
    )
    first, last = sorted(keys)[len(keys) // 3], sorted(keys)[2 * len(keys) // 3]
    for low, high in ((b"", None), (first, last), (first + b"\0", None), (b"", first)):
        rows: list = []
        world.store.run(scan(world.root, low, high), rows)
        entries = {key: ref for run in rows for key, ref in run.items()}
        assert list(entries) == sorted(
            k for k in world.model if k >= low and (high is None or k < high)
        )


@settings(max_examples=120, deadline=None)
@given(_program(FAMILY_KEYS), st.sampled_from([TINY, SHORT]))
def test_programs_on_a_family(program, limits) -> None:
    _run_program(program, FAMILY, limits, FAMILY_KEYS)


@settings(max_examples=120, deadline=None)
@given(_program([each.encode() for each in STRINGS]), st.sampled_from([TINY, SHORT]))
def test_programs_on_strings(program, limits) -> None:
    _run_program(program, None, limits, [each.encode() for each in STRINGS])


def _many(count, seq=1, start=0, width=100):
    rows = np.arange(start, start + count)
    positions = np.stack([rows // width, rows % width], axis=1).astype(np.uint64)
    zeros = np.zeros(count, np.uint64)
    return Run.of_columns(
        FAMILY.id,
        keys_of(positions),
        ["x"],
        zeros,
        rows,
        zeros + 5,
        rows + seq,
        (zeros + seq, zeros),
    )


def _folded(store, root, changes, limits=LIMITS, cleared=()):
    packs = store.new_packs()
    result = store.run(fold(root, changes, cleared, FAMILY, packs, limits))
    store.keep(packs)
    return result


def test_one_change_rewrites_one_path() -> None:
    limits = Limits(entries=64, children=16)
    store = PageStore()
    root = _folded(store, None, _many(10_000), limits).root
    height = store.page(root).level
    assert height == 2
    folded = _folded(store, root, _many(1, seq=2, start=2_345), limits)
    assert len(folded.dead.pages) == height + 1
    assert store.rounds == height + 1
    pages = store.reached(root, limits)[0]
    assert len(pages - store.reached(folded.root, limits)[0]) == height + 1
    steps: list = []
    store.run(difference(root, folded.root), steps)
    assert sum(len(step.one) for step in steps) == 1
    assert store.pages <= 2 * (height + 1)


def test_a_scattered_lookup_takes_one_round_a_level() -> None:
    limits = Limits(entries=64, children=16)
    store = PageStore()
    root = _folded(store, None, _many(10_000), limits).root
    keys = _many(10_000).keys[::97]
    found = store.run(find_many(root, keys))
    assert len(found) == len(keys)
    assert store.rounds == 3


def test_a_cleared_family_is_dropped_unread() -> None:
    limits = Limits(entries=64, children=16)
    store = PageStore()
    root = _folded(store, None, _many(10_000), limits).root
    folded = _folded(store, root, _many(5, seq=2), limits, [KeyRange.prefix("a/")])
    assert folded.dead.trees == [root]
    assert store.rounds == 0
    assert folded.root.count == 5


def test_a_cleared_slab_is_dropped_unread() -> None:
    limits = Limits(entries=64, children=16)
    store = PageStore()
    root = _folded(store, None, _many(10_000), limits).root
    folded = _folded(store, root, _many(0), limits, [KeyRange.prefix("a/c/17/")])
    assert folded.root.count == 9_900
    assert store.pages <= 6


def test_nothing_to_do_writes_nothing() -> None:
    store = PageStore()
    root = _folded(store, None, _many(5_000)).root
    packs = store.new_packs()
    absent = Run.of(FAMILY.id, [(FAMILY.parse("a/c/999/1"), None)])
    for changes, cleared in ((_many(0), []), (absent, []), (absent, [KeyRange.prefix("b/")])):
        folded = store.run(fold(root, changes, cleared, FAMILY, packs))
        assert folded.root == root
        assert not folded.dead.pages
    assert packs.take_all() == []


def test_the_same_changes_give_the_same_bytes() -> None:
    results = []
    for _ in range(2):
        store = PageStore()
        root = _folded(store, None, _many(5_000), TINY).root
        root = _folded(store, root, _many(300, seq=2, start=2_000), TINY).root
        results.append((root, store.packs))
    assert results[0] == results[1]


def test_deleting_shrinks_the_tree() -> None:
    limits = Limits(entries=32, children=8, ahead=16)
    store = PageStore()
    root = _folded(store, None, _many(5_000), limits).root
    rng = np.random.default_rng(7)
    left = np.arange(5_000)
    while len(left) > 40:
        gone = rng.choice(left, len(left) // 2, replace=False)
        left = np.setdiff1d(left, gone)
        deletes = Run.of(FAMILY.id, [(_many(1, start=int(row)).key(0), None) for row in gone])
        root = _folded(store, root, deletes, limits).root
        pages, entries = store.reached(root, limits)
        assert len(entries) == len(left)
        # No page but the last few has less than a quarter of what it may have.
        assert len(pages) <= 3 + 1.3 * len(left) / (limits.entries // 4)


def test_the_catalog_is_never_cleared() -> None:
    store = PageStore()
    packs = store.new_packs()
    run = Run.of(CATALOG, [(b"a\0/1", Ref.of_inline(b"x"))])
    root = store.run(fold(None, run, (), None, packs)).root
    store.keep(packs)
    folded = store.run(fold(root, Run.of(CATALOG, []), [KeyRange()], None, store.new_packs()))
    assert folded.root == root


def test_damaged_pages_are_refused() -> None:
    run = _many(7).part(0, 7)
    inline = Run.of(FAMILY.id, [(bytes(16), Ref.of_inline(b"abc", (1, 2)))])
    children = [(run.key(at), PageRef("idx/0011223344556677", at, 9, at, 3)) for at in range(5)]
    interior = Interior.of(1, FAMILY.id, children)
    for page in (Leaf(run), Leaf(inline), interior):
        data = page.encode()

        def decode(damaged, count=page.count):
            crc = google_crc32c.value(damaged)
            decode_page(damaged, PageRef("some/object", 0, len(damaged), crc, count))

        decode(data)
        refuses_damage(data, decode)
        ref = PageRef("some/object", 3, len(data), google_crc32c.value(data), page.count)
        for wrong in ({"size": 1}, {"crc": 1}, {"count": 99}):
            with pytest.raises(DataLoss, match="some/object"):
                decode_page(data, dataclasses.replace(ref, **wrong))


def test_pages_that_do_not_fit_their_parent_are_refused() -> None:
    store = PageStore()
    leaf = Leaf(_many(3))
    other = Leaf(Run.of(DOCUMENTS, [(b"a", Ref("x", 0, 1, 2))]))
    key = leaf.entries.key
    cases = [
        Interior.of(2, FAMILY.id, [(key(0), _put(store, leaf))]),
        Interior.of(1, FAMILY.id, [(key(0), _put(store, other))]),
        Interior.of(1, FAMILY.id, [(key(1), _put(store, leaf))]),
        Interior.of(1, FAMILY.id, [(key(0), _put(store, leaf)), (key(2), _put(store, leaf))]),
    ]
    one = Run.of(FAMILY.id, [(key(1), None)])
    for interior in cases:
        root = _put(store, interior)
        for steps in (
            find(root, key(1)),
            find_many(root, one.keys),
            scan(root),
            difference(root, _put(store, leaf)),
            fold(root, one, (), FAMILY, store.new_packs()),
        ):
            with pytest.raises(DataLoss, match="does not fit its parent"):
                store.run(steps, [])


def _put(store, page):
    packs = store.new_packs()
    data = page.encode()
    name, offset = packs.add(data)
    store.keep(packs)
    return PageRef(name, offset, len(data), google_crc32c.value(data), page.count)


def test_a_page_of_another_family_is_refused() -> None:
    store = PageStore()
    root = _folded(store, None, _many(300), TINY).root
    other = Run.of(FAMILY.id, [(bytes(24), None)])
    for steps in (find_many(root, other.keys), fold(root, other, (), None, store.new_packs())):
        with pytest.raises(DataLoss, match="another length"):
            store.run(steps)
    assert store.run(find(root, bytes(24))) is None


def test_packs_are_handed_over_when_full() -> None:
    store = PageStore(pack_bytes=1000)
    packs = store.new_packs()
    store.run(fold(None, _many(20_000), (), FAMILY, packs, Limits(entries=64)))
    full = packs.take_closed()
    rest = packs.take_all()
    assert len(full) > 10
    assert len(rest) == 1
    assert all(1000 <= len(data) < 3000 for _, data in full)
    assert len({name for name, _ in full + rest}) == len(full) + 1
    assert packs.size == sum(len(data) for _, data in full + rest)
    assert objects.packed(full[0][0])[:1] == b"i"
