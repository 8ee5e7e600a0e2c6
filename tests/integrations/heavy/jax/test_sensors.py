"""The example with JAX, Grain and Orbax: cut off in the middle, and read by four devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import asynctensor as at
from examples import sensors

#: What Orbax says of itself.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_goes_on_to_the_same_matrix(tmp_path) -> None:
    repo = at.Repository.open(tmp_path / "laboratory", create=True).result()
    sensors.record(repo)
    whole = sensors.learn(repo, tmp_path / "whole")
    assert sensors.error(repo, jnp.eye(sensors.SENSORS)) > 0.2
    assert sensors.error(repo, whole) < 1.2 * sensors.NOISE
    cut = sensors.learn(repo, tmp_path / "cut", epochs=2)
    # An epoch that is left out or done twice shows in the fourth decimal.
    assert not jnp.allclose(cut, whole, rtol=0, atol=1e-5)
    again = sensors.learn(repo, tmp_path / "cut")
    assert jnp.allclose(again, whole, rtol=0, atol=1e-5)
    last = tmp_path / "cut" / f"{sensors.EPOCHS - 1}" / "default"
    restored = ocp.PyTreeCheckpointer().restore(last)
    assert isinstance(restored["matrix"], np.ndarray | jax.Array)
    assert np.array_equal(restored["matrix"], again)
