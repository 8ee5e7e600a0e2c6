"""A cluster of Spark on this machine: a master, and two workers that it takes for two machines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark

from tests.servers.process import ServerProcess, free_port

_MASTER, _WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
#: Spark runs no second attempt of a task on the machine of the first.
_MACHINES = ("127.0.0.1", "127.0.0.2")


@contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """Runs it, in processes of their own; ``JAVA_HOME`` is to be set.

    Args:
        folder: Where they may write.

    Yields:
        The URL of the master.
    """
    home = Path(pyspark.__file__).parent
    program, port = home / "bin" / "spark-class", free_port()
    environment = {
        "SPARK_HOME": str(home),
        "SPARK_DAEMON_MEMORY": "256m",
        # They are over before a better compiler would pay off.
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "SPARK_NO_DAEMONIZE": "1",
        "TMPDIR": str(folder),
    }
    place = ("--host", _MACHINES[0], "--port", str(port), "--webui-port", "0")
    master = ServerProcess([program, _MASTER, *place], port, _new(folder / "master"), environment)
    with master, ExitStack() as stack:
        url = f"spark://{_MACHINES[0]}:{port}"
        for machine in _MACHINES:
            own = _new(folder / machine)
            place = ("--host", machine, "--webui-port", "0", "--work-dir", str(own / "work"))
            log = stack.enter_context((own / "log").open("ab"))
            worker = stack.enter_context(
                subprocess.Popen(
                    [program, _WORKER, *place, "--cores", "1", "--memory", "1g", url],
                    cwd=own,
                    env={**os.environ, **environment, "HOME": str(own), "SPARK_LOCAL_IP": machine},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
            stack.callback(worker.kill)
        yield url


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
