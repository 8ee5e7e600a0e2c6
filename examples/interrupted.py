"""An ingest that is killed half way: see `examples.demo`.

``python -m examples.interrupted REPOSITORY SOURCE...`` says on standard output when it has written
half of the voxels, and waits there to be killed.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import asynctensor as at
from examples.ingest import ingest
from examples.nifti import total_bytes

FOLDER = "again/"
HALF = "half of it is written"


async def run(location: Path, sources: list[Path]) -> None:
    repository = await at.Repository.open(location)
    total = total_bytes(sources)
    written = 0

    def stop_half_way(size: int) -> None:
        nonlocal written
        written += size
        if written >= total / 2:
            print(HALF, flush=True)
            time.sleep(60)
            raise SystemExit("nobody has killed it")

    await ingest(sources, repository, FOLDER, stop_half_way, message="Ingest the volumes again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("sources", type=Path, nargs="+")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.repository, arguments.sources))


if __name__ == "__main__":
    main()
