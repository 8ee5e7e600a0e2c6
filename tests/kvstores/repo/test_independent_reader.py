"""What the library writes, read by a reader that was written from the document alone."""

from __future__ import annotations

import google_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.checkpoint import Checkpoint, pack_root
from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS, Family
from asynctensor.kvstores.repo.fold import fold
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.record import NO_PARENT, AbortEntry, CommitEntry, Record
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.kvstores.repo.run_layers import merged, without
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.independent_reader import Reader, space_of
from tests.kvstores.repo.pages import TINY, PageStore

BRANCH = "0123456789ab"
FAMILIES = [Family.of("a/c/", "/", 2), Family.of("b/", ".", 3), Family.of("b/", "/", 1)]
KEYS = [
    *["a/zarr.json", "b/.zarray", "é", ""],
    *[f"a/c/{i}/{j}" for i in (0, 1, 2, 10) for j in (0, 5, 300)],
    *[f"b/{i}.0.{i}" for i in range(4)],
    *["b/7", "b/8"],
]
COMMITS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=12), max_size=12),
        st.lists(st.sampled_from(["a/", "a/c/1", "b/", "b/0.0", "é"]), max_size=1),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


class _Writer:
    """Writes a log, and its folds, as the document says that it is written."""

    def __init__(self) -> None:
        self.store = PageStore()
        self.objects = self.store.packs
        self.model: dict[bytes, tuple[bytes, tuple[int, int]]] = {}
        self.parent, self.seq = NO_PARENT, 0
        self.base: list[tuple[CommitEntry, tuple[int, int], tuple[Run, ...]]] = []

    def commit(self, changes, cleared, in_part) -> None:
        self.seq += 1
        txn = self.seq.to_bytes(16, "big")
        pack = objects.data_pack(txn, 0, 20261126, txn[-6:])
        body = bytearray()
        spaces: dict[bytes, list[tuple[bytes, Ref | None]]] = {}
        for number, (key, value) in enumerate(changes.items()):
            if value is None:
                ref = None
            elif number % 2:
                ref = Ref.of_inline(value)
            else:
                ref = Ref(pack, len(body), len(value), google_crc32c.value(value))
                body += value
            family, inside = self.place(key)
            spaces.setdefault(family.id if family else DOCUMENTS, []).append((inside, ref))
        self.objects[pack] = bytes(body)
        runs = tuple(Run.of(space, items) for space, items in spaces.items())
        parts = ()
        if in_part and runs:
            part = Part(BRANCH, txn, "w", 1, tuple(FAMILIES), runs)
            name = objects.part(BRANCH, txn, txn[:8])
            self.objects[name] = part.encode()
            parts = (part.ref(name, self.objects[name]),)
        entry = CommitEntry(
            txn,
            self.seq - 1,
            self.seq,
            () if parts else runs,
            families=tuple(FAMILIES),
            cleared=tuple(map(KeyRange.prefix, cleared)),
            parts=parts,
        )
        # Something else stands before it in the record.
        record = Record(BRANCH, self.seq, self.parent, self.seq, (AbortEntry(bytes(16)), entry))
        self.objects[objects.log_slot(BRANCH, self.seq)] = record.encode()
        self.parent = record.digest
        self.base.append((entry, (self.seq, 1), runs))
        for prefix in cleared:
            self.model = {k: v for k, v in self.model.items() if not k.startswith(prefix.encode())}
        for key, value in changes.items():
            self.model.pop(key.encode(), None)
            if value is not None:
                self.model[key.encode()] = (value, (self.seq, 1))

    @staticmethod
    def place(key) -> tuple[Family | None, bytes]:
        for family in FAMILIES:
            if (inside := family.parse(key)) is not None:
                return family, inside
        return None, key.encode()

    def fold(self) -> None:
        """A checkpoint of all that was committed."""
        packs = self.store.new_packs()
        catalog = []
        roots = {}
        for family in [None, *FAMILIES]:
            net, cleared = Run.of(family.id if family else DOCUMENTS, []), ()
            for entry, version, runs in self.base:
                cleared += entry.cleared
                net = without(net, entry.cleared, family)
                for run in runs:
                    if run.space == net.space:
                        net = merged(run.stamped(version), net, keep_deleted=True)
            roots[family] = self.store.run(fold(None, net, cleared, family, packs, TINY)).root
            if family:
                value = Ref.of_inline(pack_root(roots[family]), (self.seq, 0))
                catalog.append((family.key.encode(), value))
        run = Run.of(CATALOG, catalog)
        root = self.store.run(fold(None, run, (), None, packs)).root
        self.store.keep(packs)
        checkpoint = Checkpoint(BRANCH, self.seq, self.parent, self.seq, roots[None], root)
        self.objects[objects.checkpoint(BRANCH, self.seq)] = checkpoint.encode()


@settings(deadline=None, max_examples=60)
@given(COMMITS, st.integers(0, 3))
def test_a_stranger_reads_what_was_written(commits, folded_after) -> None:
    writer = _Writer()
    folded = None
    for number, commit in enumerate(commits):
        writer.commit(*commit)
        if number == folded_after:
            writer.fold()
            folded = writer.seq
    reader = Reader(writer.objects.get, BRANCH)
    for checkpoint in {None, folded}:
        state = reader.state(checkpoint)
        found = {key: (reader.value(ref), ref[3]) for key, ref in state.items()}
        assert found == writer.model


def test_a_stranger_puts_keys_into_the_same_spaces() -> None:
    for key in KEYS:
        family, inside = _Writer.place(key)
        space = (family.id, inside, family.key) if family else (DOCUMENTS, inside, "")
        assert space_of(key) == space
