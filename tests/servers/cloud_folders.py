"""Empty folders in the clouds that stand-ins serve here, as specs of kvstores."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.kvstores.azure.containers import new_container
from tests.kvstores.gcs import buckets as gcs_buckets
from tests.kvstores.s3 import buckets as s3_buckets
from tests.servers import clouds
from tests.servers.fixtures import Servers

#: Every cloud, for ``params=`` of a fixture; slow, as the servers are.
CLOUDS = [pytest.param(name, marks=pytest.mark.slow) for name in ("s3", "gcs", "azure")]


def new_folder(
    cloud: str, servers: Servers, environment: pytest.MonkeyPatch, path: str = "lab/"
) -> dict[str, Any]:
    """The spec of a folder in a bucket of its own, and credentials in the environment."""
    made = {"s3": _s3, "gcs": _gcs, "azure": _azure}[cloud](servers, environment)
    return {"driver": cloud, "path": path, **made}


def _s3(servers: Servers, environment: pytest.MonkeyPatch) -> dict[str, Any]:
    server = clouds.s3_elsewhere() or servers.get("moto", clouds.moto)
    environment.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    environment.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    environment.delenv("AWS_SESSION_TOKEN", raising=False)
    return {
        "bucket": s3_buckets.new_bucket(server),
        "endpoint": server.endpoint,
        "aws_region": server.region,
        "aws_credentials": {"type": "environment"},
    }


def _gcs(servers: Servers, environment: pytest.MonkeyPatch) -> dict[str, Any]:
    server = clouds.gcs_elsewhere() or servers.get("gcs", clouds.gcs)
    return {"bucket": gcs_buckets.new_bucket(server), "endpoint": server.endpoint}


def _azure(servers: Servers, environment: pytest.MonkeyPatch) -> dict[str, Any]:
    server = clouds.azure_elsewhere() or servers.get("azurite", clouds.azurite)
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        environment.delenv(name)
    environment.setenv("AZURE_STORAGE_KEY", server.secret_key)
    return {
        "account": server.access_key,
        "container": new_container(server),
        "endpoint": server.endpoint,
        "azure_credentials": {"type": "shared_key"},
    }
