"""PyTorch learns from a repository, and, killed in the middle, goes on to the very same model.

``python -m examples.training FOLDER`` makes images in a repository in `FOLDER` and trains on them.
Every few batches the model and the place in the order of samples are committed together. Kill it
and run it again: it goes on behind the last commit. Needs ``pip install 'asynctensor[torch]'``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.checkpoint as dcp

import asynctensor as at
from asynctensor.integrations.torch import CheckpointReader, CheckpointWriter, Loader, Samples

COUNT, EDGE, BATCH, EVERY = 600, 16, 20, 10
STEPS = 3 * COUNT // BATCH


def record(repo: at.Repository, seed: int = 0) -> None:
    """Images, and labels that say which are dark (0) and which bright (1), in one commit."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, COUNT).astype("float32")
    images = chance.random((COUNT, EDGE, EDGE), "float32") + labels[:, None, None] * 0.5
    layout = at.ChunkLayout(chunk_shape=[25, EDGE, EDGE])
    with repo.transaction(message="photographed") as txn:
        group = at.create_group(repo.kvstore(), transaction=txn).result()
        for name, values in (("image", images), ("label", labels)):
            array = group.create_array(
                name,
                dtype=values.dtype,
                shape=values.shape,
                chunk_layout=layout if values.ndim == 3 else None,
            ).result()
            array.write(values).result()


def train(repo: at.Repository, run: Path, batches: int | None = None) -> torch.nn.Module | None:
    """Trains to the end, or for so many batches, from the last commit in `run` if there is one.

    Returns:
        The model; None if it did not come to the end.
    """
    arrays = {
        name: at.open({"driver": "zarr3", "kvstore": repo.kvstore(name)}).result()
        for name in ("image", "label")
    }
    loader = Loader(Samples.rows(arrays), batch_size=BATCH, shuffle=True, seed=5)
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(EDGE * EDGE, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    step = 0
    if run.exists():
        state = saved(model, loader, step)
        dcp.load(state, storage_reader=CheckpointReader(run), no_dist=True)
        model.load_state_dict(state["model"])
        loader.load_state_dict(state["loader"])
        step = state["step"]
    while step < STEPS:
        for batch in loader:  # What is left of an epoch.
            guess = model(batch["image"] - 0.75)[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(guess, batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % EVERY == 0:
                writer = CheckpointWriter(run, message=f"step {step}, loss {loss.item():.3f}")
                dcp.save(saved(model, loader, step), storage_writer=writer, no_dist=True)
            if batches is not None:
                batches -= 1
                if not batches:
                    return None
    return model


def saved(model: torch.nn.Module, loader: Loader, step: int) -> dict[str, Any]:
    """All that it takes to go on."""
    return {"model": model.state_dict(), "loader": loader.state_dict(), "step": step}


def right(repo: at.Repository, model: torch.nn.Module) -> int:
    """How many labels the model guesses."""
    images, labels = (
        at.convert(at.open({"driver": "zarr3", "kvstore": repo.kvstore(name)}).result(), "torch")
        for name in ("image", "label")
    )
    with torch.no_grad():
        guesses = model(images.result() - 0.75)[:, 0] > 0
    return int((guesses == labels.result().bool()).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    made = (folder / "photographs").exists()
    repo = at.Repository.open(folder / "photographs", create=True).result()
    if not made:
        record(repo)
    model = train(repo, folder / "run")
    assert model is not None
    print(f"{right(repo, model)} of {COUNT} labels are guessed")
    for commit in at.Repository.open(folder / "run").result().log(limit=5):
        print(commit)


if __name__ == "__main__":
    main()
