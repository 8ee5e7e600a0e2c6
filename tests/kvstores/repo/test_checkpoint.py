"""Checkpoints and hints, whole and damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.checkpoint import Checkpoint, pack_root, unpack_root
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.page import PageRef
from tests.kvstores.repo.programs import TEXT, refuses_damage

BRANCH = "00aabbccddee"
OBJECT = "some/object"
SEQS = st.integers(0, 2**62)
ROOTS = st.none() | st.builds(
    PageRef,
    TEXT.map("idx/{}".format),
    SEQS,
    st.integers(0, 2**26 - 1),
    st.integers(0, 2**32 - 1),
    SEQS,
)
CHECKPOINTS = st.builds(
    Checkpoint,
    st.just(BRANCH),
    SEQS,
    st.binary(min_size=16, max_size=16),
    SEQS,
    ROOTS,
    ROOTS,
    ROOTS,
    st.none() | SEQS,
    SEQS,
)


@settings(deadline=None, max_examples=50)
@given(CHECKPOINTS)
def test_a_checkpoint_is_read_as_it_was_written(checkpoint) -> None:
    assert Checkpoint.decode(checkpoint.encode(), object=OBJECT) == checkpoint


@pytest.mark.parametrize("known", [None, 3])
def test_a_hint_is_read_as_it_was_written(known) -> None:
    hint = Hint(BRANCH, 5, known)
    assert Hint.decode(hint.encode(), object=OBJECT) == hint


@settings(deadline=None, max_examples=20)
@given(CHECKPOINTS)
def test_a_hint_may_hold_the_checkpoint(checkpoint) -> None:
    hint = Hint(BRANCH, checkpoint.seq + 1, checkpoint.seq, checkpoint)
    assert Hint.decode(hint.encode(), object=OBJECT) == hint
    other = Hint(BRANCH, checkpoint.seq + 1, checkpoint.seq + 1, checkpoint)
    with pytest.raises(DataLoss, match="copy of checkpoint"):
        Hint.decode(other.encode(), object=OBJECT)


@settings(deadline=None, max_examples=50)
@given(ROOTS)
def test_a_root_in_the_catalog_is_read_as_it_was_written(root) -> None:
    value = pack_root(root)
    assert unpack_root(value, object=OBJECT) == root
    assert root is None or len(value) <= 256


@pytest.mark.parametrize("value", [b"", b"\x91\xa1a", b"\x80", b"\x95\xa0\0\0\0\0", b"\xff"])
def test_a_root_that_is_none_is_refused(value) -> None:
    with pytest.raises(DataLoss, match=OBJECT):
        unpack_root(value, object=OBJECT)


def test_damage_is_seen() -> None:
    root = PageRef("idx/0011223344556677", 1, 2, 3, 4)
    checkpoint = Checkpoint(BRANCH, 9, bytes(16), 7, root, None, root, 4, 8)
    refuses_damage(checkpoint.encode(), lambda data: Checkpoint.decode(data, object=OBJECT))
    refuses_damage(Hint(BRANCH, 9, 3).encode(), lambda data: Hint.decode(data, object=OBJECT))
