"""A process in which Spark writes an array by a cluster of two executors; see `killed_job`.

Executors are killed, or, where the job's ``how`` is ``"twice"``, a task is slow, so that Spark has
it done a second time on the other machine while the first attempt goes on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from asynctensor.integrations.spark import (
    Block,
    block_schema,
    blocks_to_batch,
    register,
    write_array,
)
from benchmarks import killed_job
from tests.servers.java import set_java_home
from tests.servers.spark_cluster import spark_cluster

ROOT = Path(__file__).parents[1]
DIMS = ["y", "x"]
#: The task that is done twice, and columns of a block.
SLOW, WIDTH = 5, 80
SETTINGS = {
    "spark.cores.max": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.executor.cores": "1",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.memory": "512m",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
    "spark.log.level": "OFF",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
#: A task is begun again soon, where another machine has nothing to do.
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.minTaskRuntime": "100ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.5",
}


def parent(process: int) -> int:
    """The process that has started a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def killed(folder: str, task: int) -> None:
    """Kills the executor, a process of Java, that has this process compute something."""
    killed_job.kill_once(folder, task, parent(os.getppid()))


def twice(folder: str, task: int) -> None:
    """The first attempt of a task waits until the second one has begun."""
    if task != SLOW:
        return
    first, second = (Path(folder) / f"{name} attempt" for name in ("first", "second"))
    if first.exists():
        second.touch()
        return
    first.touch()
    ends = time.monotonic() + 120
    while not second.exists() and time.monotonic() < ends:
        time.sleep(0.02)


def computed(folder: str, disturbed: Callable[[str, int], None]) -> Any:
    """What tasks do: blocks of the array, with a disturbance after the first of them."""

    def blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task, values = TaskContext.get().partitionId(), killed_job.values()
        for _ in batches:
            rows = slice(task * killed_job.ROWS, (task + 1) * killed_job.ROWS)
            for left in range(0, killed_job.EDGE, WIDTH):
                box = (rows, slice(left, min(left + WIDTH, killed_job.EDGE)))
                yield blocks_to_batch([Block("value", box, values[box])], DIMS)
                if not left:
                    disturbed(folder, task)

    return blocks


def main(job: dict[str, Any]) -> None:
    """Stores it once."""
    folder = Path(job["folder"])
    is_twice = job.get("how") == "twice"
    set_java_home(folder)
    # Its processes know neither this Python nor this folder.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(ROOT)
    settings = SETTINGS | (SPECULATION if is_twice else {})
    with spark_cluster(folder) as url:
        spark = SparkSession.builder.master(url).config(map=settings).getOrCreate()
        register(spark)
        with killed_job.told(folder, () if is_twice else killed_job.VICTIMS):
            repository, array = killed_job.opened(folder, DIMS)
            numbers = spark.range(0, killed_job.TASKS, 1, killed_job.TASKS)
            disturbed = twice if is_twice else killed
            rows = numbers.mapInArrow(computed(str(folder), disturbed), block_schema(DIMS))
            with repository.transaction(message="by Spark") as txn:
                write_array(rows, array.with_transaction(txn))
                parts = len(txn.receipts)
        killed_job.answer(repository, array, parts, killed_job.TASKS)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
