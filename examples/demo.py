"""The main job on real data: brain volumes into zarr v3, and a service reading them.

``make demo``, or ``python -m examples.demo``. The data and their terms are in ``examples/data``.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from examples.ingest import INNER_CHUNK, SHARD, ingest

HERE = Path(__file__).parent
DATA = HERE / "data"
OUTPUT = HERE / "output"


def main() -> int:
    started = time.perf_counter()
    sources = [DATA / f"mni152_{name}.nii.gz" for name in ("t1", "gm", "wm")]
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()

    print(
        f"Ingest: {len(sources)} NIfTI volumes into zarr v3, zstd, {INNER_CHUNK}^3 chunks in "
        f"{SHARD}^3 shards"
    )
    with tqdm(unit="B", unit_scale=True, desc="  written", total=total_bytes(sources)) as bar:
        done = asyncio.run(ingest(sources, OUTPUT, bar.update))
    print(
        f"  {done.coroutines:,} coroutines wrote {done.data_bytes / 1e6:.1f} MB of voxels as "
        f"{done.stored_bytes / 1e6:.1f} MB in {done.files} files: {done.seconds:.2f} s, "
        f"{done.data_bytes / done.seconds / 1e6:.0f} MB/s, every file synced to disk"
    )

    print("Serve: a new process reads them back")
    service = [sys.executable, "-m", "examples.service", str(OUTPUT), *map(str, sources)]
    status = subprocess.run(service, check=False, cwd=HERE.parent).returncode
    if status:
        print("FAILED: what was read back is not what was written", file=sys.stderr)
        return status
    print(f"The arrays are in {OUTPUT}; all of it took {time.perf_counter() - started:.1f} s")
    return 0


def total_bytes(sources: list[Path]) -> int:
    """Bytes of voxels in all sources, by gzip's own trailer: what follows the 352-byte header."""
    return sum(int.from_bytes(source.read_bytes()[-4:], "little") - 352 for source in sources)


if __name__ == "__main__":
    raise SystemExit(main())
