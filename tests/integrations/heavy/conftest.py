"""What the tests with large libraries share."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.java import set_java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HERE = Path(__file__).parent


#: What takes long to start: the tests of each run in one process.
SLOW = ("dask", "ray", "spark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the libraries do to all tests in their process, and how long they may take.

    A process in which JAX was loaded warns of every fork, whoever forks; Spark's bridge to Java
    drops sockets whenever the collector comes.
    """
    for item in items:
        if HERE not in item.path.parents:
            continue
        for each in (
            "ignore:os.fork\\(\\) was called:RuntimeWarning",
            "ignore:unclosed:ResourceWarning",
        ):
            item.add_marker(pytest.mark.filterwarnings(each))
        for name in SLOW:
            if HERE / name in item.path.parents or f"integrations/{name}.md" in item.name:
                item.add_marker(pytest.mark.xdist_group(name))
                item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def patient_ray() -> None:
    """Settings of Ray for machines that do other things, too: else it gives up while it starts."""
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 -- Ray's name
    os.environ["RAY_worker_register_timeout_seconds"] = "300"  # noqa: SIM112
    # Else its processes give way to whatever else runs on the machine.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Java, from Python's package index."""
    set_java_home(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="session")
def spark(java: None) -> Iterator[SparkSession]:
    """Spark, of two cores; a task that fails is tried again three times."""
    from pyspark.sql import SparkSession

    from asynctensor.integrations.spark import register

    # Its processes know neither this Python nor these tests.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(HERE.parents[2])
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        # A test is over before a better compiler would pay off.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.log.level": "OFF",
        "spark.python.daemon.module": "tests.integrations.heavy.spark.daemon",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    found = SparkSession.builder.master("local[2,4]").config(map=settings).getOrCreate()
    register(found)
    yield found
    found.stop()
    with warnings.catch_warnings():
        # Sockets that it leaves.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
