"""The server that stands for Google Cloud Storage, judged by Google's own client."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.clouds import gcs
from tests.servers.process import ROOT, installed

CHECK = ROOT / "tests" / "servers" / "gcs_check.py"


def test_googles_client_finds_what_it_expects(tmp_path: Path) -> None:
    with gcs(tmp_path) as server:
        command = [installed("gcs", "bin", "python"), CHECK, server.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
