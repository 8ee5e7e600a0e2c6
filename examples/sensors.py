"""JAX learns how sensors disturb each other, from batches of Grain, and Orbax has its checkpoints.

``python -m examples.sensors FOLDER`` records in a repository in `FOLDER` what sensors should have
measured and what they did, and learns the matrix between the two. Each epoch is a checkpoint, which
Orbax restores; kill it and run it again, and it goes on behind the last. At the end all rows are
read, to each device its own. Needs ``pip install 'asynctensor[jax]' grain orbax-checkpoint``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import grain.python as grain
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import asynctensor as at
from asynctensor.integrations.jax import GrainSource, to_jax
from asynctensor.integrations.orbax import write_checkpoint

ROWS, SENSORS, BATCH, EPOCHS = 2048, 16, 64, 4
#: What is measured has this much noise.
NOISE = 0.01


def record(repo: at.Repository, seed: int = 0) -> None:
    """Signals and what was measured of them, rows of one number for each sensor, in one commit."""
    chance = np.random.default_rng(seed)
    disturbed = np.eye(SENSORS) + chance.normal(0, 0.1, (SENSORS, SENSORS))
    signal = chance.normal(size=(ROWS, SENSORS))
    measured = signal @ disturbed + chance.normal(0, NOISE, (ROWS, SENSORS))
    layout = at.ChunkLayout(chunk_shape=[256, SENSORS])
    with repo.transaction(message="a day in the laboratory") as txn:
        for name, values in (("signal", signal), ("measured", measured)):
            array = at.open(
                {"driver": "zarr3", "kvstore": repo.kvstore(f"{name}/")}, transaction=txn,
                create=True, dtype="float32", shape=values.shape, chunk_layout=layout,
            ).result()  # fmt: skip
            array.write(values.astype("float32")).result()


def opened(repo: at.Repository) -> dict[str, at.TensorStore]:
    """Both arrays, by name."""
    return {
        name: at.open({"driver": "zarr3", "kvstore": repo.kvstore(f"{name}/")}).result()
        for name in ("signal", "measured")
    }


@jax.jit
def step(matrix: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """A matrix that explains a batch better."""

    def loss(matrix: jax.Array) -> jax.Array:
        return jnp.mean((batch["signal"] @ matrix - batch["measured"]) ** 2)

    return matrix - jax.grad(loss)(matrix)


def learn(repo: at.Repository, run: Path, epochs: int = EPOCHS) -> jax.Array:
    """Learns, from the last checkpoint in `run` if there is one; gives the matrix."""
    source = GrainSource(opened(repo))
    matrix, first = jnp.eye(SENSORS), 0
    with ocp.CheckpointManager(run.absolute()) as manager:
        last = manager.latest_step()
        if last is not None:
            found = manager.restore(last, args=ocp.args.PyTreeRestore())
            matrix, first = jnp.asarray(found["matrix"]), last + 1
    for epoch in range(first, epochs):
        for batch in grain.MapDataset.source(source).shuffle(seed=epoch).batch(BATCH):
            matrix = step(matrix, batch)
        write_checkpoint(run / f"{epoch}" / "default", {"matrix": matrix}).result()
    return matrix


def error(repo: at.Repository, matrix: jax.Array) -> float:
    """How far off the matrix is, of all rows: each device reads and computes its own."""
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    rows = NamedSharding(mesh, PartitionSpec("rows"))
    found = {name: to_jax(array, rows).result() for name, array in opened(repo).items()}
    return float(jnp.sqrt(jnp.mean((found["signal"] @ matrix - found["measured"]) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    made = (folder / "laboratory").exists()
    repo = at.Repository.open(folder / "laboratory", create=True).result()
    if not made:
        record(repo)
    print(f"undisturbed, they would be off by {error(repo, jnp.eye(SENSORS)):.3f}")
    matrix = learn(repo, folder / "run")
    print(f"with what was learnt, by {error(repo, matrix):.3f}; the noise is {NOISE}")


if __name__ == "__main__":
    main()
