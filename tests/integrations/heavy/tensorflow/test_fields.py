"""The example with Keras: what it commits is what it learnt."""

from __future__ import annotations

import pytest

import asynctensor as at
from examples import fields

pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_learns_and_commits_a_guess_for_each(tmp_path) -> None:
    repo = at.Repository.open(tmp_path / "fields", create=True).result()
    fields.record(repo)
    share = fields.guess(repo)
    assert share > 0.9
    guesses, labels = (
        at.open({"driver": "zarr3", "kvstore": repo.kvstore(path)}).result().read().result()
        for path in ("guesses/", "labels/")
    )
    right = (guesses > 0.5) == labels
    assert right[fields.KNOWN :].mean() == pytest.approx(share)
    # In another order than that of the pictures, they would be right by chance.
    assert right[: fields.KNOWN].mean() > 0.9
    messages = [each.message for each in repo.log()]
    assert messages == [f"by Keras: {share:.0%} of unknown ones are right", "seen from above"]
