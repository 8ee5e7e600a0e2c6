"""The main job on real data: brain volumes into a repository, with a history; a service reads them.

``make demo``, or ``python -m examples.demo``. The data and their terms are in ``examples/data``.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import asynctensor as at
from examples import interrupted
from examples.ingest import INNER_CHUNK, SHARD, file_sizes, ingest, name_of
from examples.nifti import total_bytes

HERE = Path(__file__).parent
DATA = HERE / "data"
OUTPUT = HERE / "output"
FOLDER = "mni152/"
#: Probabilities, of 255, that the edit takes for none; and the planes that it looks at.
FAINT = 13
PLANES = 64


async def first_ingest(location: Path, sources: list[Path]) -> None:
    """All volumes and what is known of them, in one transaction."""
    repository = await at.Repository.open(location, create=True)
    with tqdm(unit="B", unit_scale=True, desc="  staged", total=total_bytes(sources)) as bar:
        done = await ingest(
            sources, repository, FOLDER, bar.update, message="Ingest three volumes of MNI152"
        )
    await repository.create_tag("ingested", done.commit)
    stored = await asyncio.to_thread(file_sizes, location)
    print(
        f"  {done.coroutines:,} coroutines wrote {done.data_bytes / 1e6:.1f} MB of voxels of "
        f"{done.arrays} arrays in one commit, {sum(stored) / 1e6:.1f} MB in {len(stored)} files: "
        f"{done.seconds:.2f} s, {done.data_bytes / done.seconds / 1e6:.0f} MB/s, every file synced"
    )


async def killed_ingest(location: Path, sources: list[Path]) -> bool:
    """Kills another ingest, which runs in a process of its own. Whether nothing is seen of it."""
    repository = await at.Repository.open(location)
    before = await state_of(repository)
    command = [sys.executable, "-m", "examples.interrupted", location, *sources]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE.parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = await process.stdout.readline()
    process.kill()
    await process.communicate()
    if said.decode().strip() != interrupted.HALF:
        print("FAILED: the second ingest did not get half way", file=sys.stderr)
        return False
    await repository.refresh()
    after = await state_of(repository)
    print(
        f"  killed with half of the voxels written: {len(after[0])} commit, {len(after[1])} keys, "
        f"as before: {'yes' if after == before else 'NO'}"
    )
    return after == before


async def state_of(repository: at.Repository) -> tuple[list[str], list[bytes]]:
    """The commits and the keys of a repository."""
    commits = [commit.id async for commit in repository.log()]
    return commits, await repository.kvstore().list()


async def open_array(
    repository: at.Repository,
    name: str,
    *,
    tag: str | None = None,
    transaction: at.Transaction | None = None,
) -> at.TensorStore:
    """Opens an array as it is now, or as it was at a tag."""
    kvstore = repository.kvstore(FOLDER + name, tag=tag)
    return await at.open({"driver": "zarr3", "kvstore": kvstore}, transaction=transaction)


async def clear_faint(location: Path) -> int:
    """Edits two arrays and their attributes in one commit. Returns how many voxels it changed."""
    repository = await at.Repository.open(location)
    changed = 0
    async with repository.transaction(
        message=f"Clear probabilities below 5 % under plane {PLANES}",
        author="ada",
        metadata={"threshold": FAINT},
    ) as transaction:
        for name in ("gm", "wm"):
            array = await open_array(repository, name, transaction=transaction)
            below = array[:, :, :PLANES]
            voxels = np.asarray(await below.read())
            faint = (voxels > 0) & (voxels < FAINT)
            changed += int(np.count_nonzero(faint))
            await below.write(np.where(faint, 0, voxels))
            await (await at.open_attributes(array)).set("cleared_below", FAINT)
    return changed


async def show_history(location: Path, changed: int) -> bool:
    """Prints the log and what changed. Whether exactly that many voxels differ."""
    repository = await at.Repository.open(location)
    async for commit in repository.log():
        print(f"  {commit}")
    print("  " + repr(await repository.diff("ingested", "main")).replace("\n", "\n  "))
    differing = 0
    for name in ("gm", "wm"):
        old, new = await asyncio.gather(
            open_array(repository, name, tag="ingested"), open_array(repository, name)
        )
        print(f"  {name}: {await at.last_changed(new)}")
        voxels = await asyncio.gather(old.read(), new.read())
        differing += int(np.count_nonzero(voxels[0] != voxels[1]))
    print(f"  the edit changed {changed:,} voxels; between both states {differing:,} differ")
    return differing == changed


async def run(sources: list[Path], output: Path) -> int:
    """All of it. Returns the exit status."""
    location = output / "brains"
    print(
        f"Ingest: {len(sources)} NIfTI volumes into zarr v3, zstd, {INNER_CHUNK}^3 chunks in "
        f"{SHARD}^3 shards, in one transaction"
    )
    await first_ingest(location, sources)
    print("Crash: a second ingest in another process, killed half way (kill -9)")
    if not await killed_ingest(location, sources):
        return 1
    print("Edit: two arrays and their attributes, in one commit; the log, and what it changed")
    if not await show_history(location, await clear_faint(location)):
        print("FAILED: the edit changed something else", file=sys.stderr)
        return 1
    print("Serve: a new process reads the volumes as they were ingested, before the edit")
    arrays = [f"{FOLDER}{name_of(source)}={source}" for source in sources]
    service = [sys.executable, "-m", "examples.service", "--tag", "ingested", location, *arrays]
    process = await asyncio.create_subprocess_exec(*service, cwd=HERE.parent)
    status = await process.wait()
    if status:
        print("FAILED: what was read back is not what was written", file=sys.stderr)
    return status


def main() -> int:
    started = time.perf_counter()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    status = asyncio.run(
        run([DATA / f"mni152_{name}.nii.gz" for name in ("t1", "gm", "wm")], OUTPUT)
    )
    if not status:
        print(f"The repository is in {OUTPUT}; all took {time.perf_counter() - started:.1f} s")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
