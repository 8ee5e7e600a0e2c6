"""Orders and cuts: every sample once, by blocks, the same whoever asks for which part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.loading.cut import Cut
from asynctensor.integrations.loading.order import Order

GRIDS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=3)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    grid = draw(GRIDS)
    return Order(
        tuple(count for count, _ in grid),
        tuple(edge for _, edge in grid),
        draw(st.integers(1, 40)),
        draw(st.booleans()),
        draw(st.integers(0, 5)),
    )


def whole(order: Order, epoch: int) -> list[int]:
    return order.numbers(epoch, 0, order.length(epoch)).tolist()


@given(orders(), st.integers(0, 3))
def test_every_sample_once(order, epoch) -> None:
    assert sorted(whole(order, epoch)) == list(range(math.prod(order.counts)))


@given(orders(), st.integers(0, 3), st.data())
def test_any_part_is_that_part_of_the_whole(order, epoch, data) -> None:
    length = order.length(epoch)
    begin = data.draw(st.integers(0, length))
    end = data.draw(st.integers(begin, length))
    assert order.numbers(epoch, begin, end).tolist() == whole(order, epoch)[begin:end]


@given(orders(), st.integers(0, 3), st.integers(1, 5))
def test_shares_are_disjoint_and_whole_and_have_no_block_in_common(order, epoch, shares) -> None:
    blocks = []
    seen: list[int] = []
    for share in range(shares):
        mine = Order(
            order.counts, order.block, order.window, order.shuffle, order.seed, share, shares
        )
        numbers = whole(mine, epoch)
        seen += numbers
        places = zip(*np.unravel_index(numbers, order.counts), strict=True) if numbers else []
        blocks.append(
            {
                tuple(int(at) // edge for at, edge in zip(place, order.block, strict=True))
                for place in places
            }
        )
    assert sorted(seen) == list(range(math.prod(order.counts)))
    assert sum(map(len, blocks)) == len(set().union(*blocks))


def test_a_window_holds_whole_blocks() -> None:
    """Of 100 samples in blocks of 5, windows of 10: each block comes within 10 positions."""
    order = Order((100,), (5,), 10, True)
    numbers = np.array(whole(order, 0))
    assert numbers.tolist() != sorted(numbers)
    for block in range(20):
        at = np.flatnonzero(numbers // 5 == block)
        assert at.max() // 10 == at.min() // 10


def test_epochs_and_seeds_differ() -> None:
    order = Order((100,), (5,), 10, True)
    assert whole(order, 0) != whole(order, 1) != whole(order, 2)
    assert whole(order, 0) == whole(order, 0)
    assert whole(Order((100,), (5,), 10, True, 1), 0) != whole(order, 0)
    assert whole(Order((100,), (5,), 10, False), 7) == list(range(100))


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 4), st.booleans(), st.integers(0, 60))
def test_ranks_share_the_positions(length, batch_size, world_size, drop_last, position) -> None:
    cuts = [Cut(batch_size, drop_last, rank, world_size) for rank in range(world_size)]
    found = [list(cut.batches(position, length)) for cut in cuts]
    for cut, batches in zip(cuts, found, strict=True):
        assert cut.count(position, length) == len(batches)
    seen = sorted(at for batches in found for begin, end, _ in batches for at in range(begin, end))
    step = batch_size * world_size
    full = max(0, length - position) // step * step
    end = position + full if drop_last else max(position, length)
    assert seen == list(range(position, end))
    assert all(cut.is_over(position, length) for cut in cuts) == (not any(found))
    behind = {step for batches in found for *_, step in batches}
    assert all(step <= length for step in behind)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Order((3,), (1,), 0, True),
        lambda: Order((3,), (1,), 1, True, 0, 2, 2),
        lambda: Order((3,), (1,), 1, True).numbers(0, 2, 4),
        lambda: Cut(0, False, 0, 1),
        lambda: Cut(1, False, 1, 1),
        lambda: Cut(1, False, 0, 0),
    ],
)
def test_bad_numbers(wrong) -> None:
    with pytest.raises(InvalidArgument):
        wrong()
