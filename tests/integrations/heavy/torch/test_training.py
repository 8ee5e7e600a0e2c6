"""The example that trains, cut off in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import asynctensor as at
from examples import training

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::FutureWarning:torch")


@pytest.fixture
def repo(tmp_path: Path) -> at.Repository:
    made = at.Repository.open(tmp_path / "photographs", create=True).result()
    training.record(made)
    return made


def test_it_goes_on_to_the_same_model(repo, tmp_path) -> None:
    whole = training.train(repo, tmp_path / "whole")
    assert whole is not None
    assert training.right(repo, whole) > 0.95 * training.COUNT
    log = [str(each.message) for each in at.Repository.open(tmp_path / "whole").result().log()]
    assert [each.split(",")[0] for each in log] == [
        f"step {step}" for step in range(training.STEPS, 0, -training.EVERY)
    ]
    # Within an epoch, before the first commit, at its end, and at one; and what was cut off twice.
    for number, stops in enumerate([(17,), (3,), (30,), (44, 9), (20, 20)]):
        run = tmp_path / f"run {number}"
        for stop in stops:
            assert training.train(repo, run, stop) is None
        # What is committed meanwhile is of no concern: the state names its data.
        again = training.train(repo, run)
        assert again is not None
        for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
            assert torch.equal(mine, theirs), stops
