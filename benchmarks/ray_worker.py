"""A process in which Ray writes an array by further ones, which are killed; see `killed_job`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
import ray.data

from asynctensor.integrations.ray import write_array
from benchmarks import killed_job


def main(job: dict[str, Any]) -> None:
    """Stores it once."""
    folder = Path(job["folder"])
    # Else its processes give way to whatever else runs on the machine.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 -- Ray's name
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    values, kill_once = killed_job.values(), killed_job.kill_once

    def computed(row: dict[str, Any]) -> dict[str, Any]:
        kill_once(str(folder), row["id"] // killed_job.ROWS)
        return {"data": values[row["id"]], "index": row["id"]}

    with killed_job.told(folder):
        repository, array = killed_job.opened(folder)
        rows = ray.data.range(killed_job.EDGE, override_num_blocks=killed_job.TASKS).map(computed)
        with repository.transaction(message="by Ray") as txn:
            write_array(rows, array.with_transaction(txn))
            parts = len(txn.receipts)
    ray.shutdown()
    killed_job.answer(repository, array, parts, killed_job.TASKS)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
