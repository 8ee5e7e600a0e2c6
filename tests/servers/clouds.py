"""Servers that stand for clouds: how each is started, and how it is reached.

Each can be replaced by one elsewhere, which environment variables name::

    ASYNCTENSOR_TEST_S3=https://host/        with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
                                             AWS_REGION
    ASYNCTENSOR_TEST_AZURE=https://host/acc  with AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY
    ASYNCTENSOR_TEST_GCS=https://host        with GOOGLE_CLOUD_PROJECT, and credentials
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.process import ROOT, ServerProcess, free_port, installed


@dataclass(frozen=True)
class CloudServer:
    """A running server.

    Attributes:
        name: Which.
        endpoint: Its URL, without a slash at the end.
        access_key: An account that may do everything.
        secret_key: Its secret.
        region: Where it believes to be.
        process: Its process, if it runs here.
    """

    name: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    process: ServerProcess | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a `FaultProxy`."""
        parts = urlsplit(self.endpoint)
        return parts.hostname or "", parts.port or 80


def _elsewhere(variable: str, key: str, secret: str) -> CloudServer | None:
    url = os.environ.get(variable)
    if not url:
        return None
    region = os.environ.get("AWS_REGION", "us-east-1")
    return CloudServer(
        "elsewhere", url.rstrip("/"), os.environ[key], os.environ[secret], region, None
    )


@contextmanager
def moto(folder: Path) -> Iterator[CloudServer]:
    """S3. One thread, because moto checks a condition and then writes, without a lock."""
    port = free_port()
    command = [
        installed("moto", "bin", "waitress-serve"),
        *(f"--listen=127.0.0.1:{port}", "--threads=1", "--connection-limit=1000", "moto_app:app"),
    ]
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),
        "TMPDIR": str(folder),
        "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "true",
    }
    with ServerProcess(command, port, folder, environment) as process:
        yield CloudServer("moto", f"http://127.0.0.1:{port}", "key", "secret", process=process)


@contextmanager
def radosgw(folder: Path) -> Iterator[CloudServer]:
    """S3: Ceph's gateway with one monitor and one store in memory."""
    if shutil.which("radosgw") is None:
        raise RuntimeError("radosgw is not installed: run `make test-servers`, which installs it")
    script = Path(__file__).with_name("rgw.sh")
    # The gateway's own, and two of its monitor: every test process has a gateway.
    port, *monitor = (free_port() for _ in range(3))
    command = ["bash", script, "up", folder / "ceph", *map(str, (port, *monitor))]
    subprocess.run(command, check=True, timeout=120)
    try:
        yield CloudServer("radosgw", f"http://127.0.0.1:{port}", "testkey", "testsecret")
    finally:
        subprocess.run(["bash", script, "down", folder / "ceph"], check=False, timeout=60)


#: The account that every azurite has; its key is no secret.
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def azurite(folder: Path) -> Iterator[CloudServer]:
    """Azure Blob Storage."""
    port = free_port()
    node = shutil.which("node") or str(installed("node", "bin", "node"))
    command = [
        *(node, installed("azurite", "node_modules", ".bin", "azurite-blob")),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with ServerProcess(command, port, folder) as process:
        endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
        yield CloudServer("azurite", endpoint, _ACCOUNT, _ACCOUNT_KEY, process=process)


@contextmanager
def gcs(folder: Path) -> Iterator[CloudServer]:
    """Google Cloud Storage: our own stand-in, since there is no other that checks conditions."""
    port = free_port()
    command = [sys.executable, Path(__file__).with_name("gcs_app.py"), str(port)]
    with ServerProcess(command, port, folder, {"PYTHONPATH": str(ROOT)}) as process:
        yield CloudServer("ours", f"http://127.0.0.1:{port}", "project", "", process=process)


@contextmanager
def gcp_storage_emulator(folder: Path) -> Iterator[CloudServer]:
    """Google Cloud Storage as somebody else understands it, with one bucket.

    It heeds neither conditions nor pages nor tokens, and serves one connection after the other: it
    is good for the form of requests and answers alone.
    """
    port = free_port()
    command = [
        *(installed("gcs", "bin", "gcp-storage-emulator"), "start", "--quiet", "--in-memory"),
        *("--host", "127.0.0.1", "--port", str(port), "--default-bucket", "bucket"),
    ]
    with ServerProcess(command, port, folder) as process:
        yield CloudServer(
            "gcp-storage-emulator", f"http://127.0.0.1:{port}", "project", "", process=process
        )


Starter = Callable[[Path], AbstractContextManager[CloudServer]]
S3: dict[str, Starter] = {"moto": moto}
S3_FURTHER: dict[str, Starter] = {"radosgw": radosgw}


def s3_elsewhere() -> CloudServer | None:
    """The S3 that the environment names."""
    return _elsewhere("ASYNCTENSOR_TEST_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def gcs_elsewhere() -> CloudServer | None:
    """The Google Cloud Storage that the environment names."""
    url = os.environ.get("ASYNCTENSOR_TEST_GCS")
    if not url:
        return None
    return CloudServer("elsewhere", url.rstrip("/"), os.environ["GOOGLE_CLOUD_PROJECT"], "")


def azure_elsewhere() -> CloudServer | None:
    """The Azure account that the environment names."""
    return _elsewhere("ASYNCTENSOR_TEST_AZURE", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY")
