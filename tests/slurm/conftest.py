"""One real cluster for these tests, which only `make test-slurm` runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.cluster import Cluster, missing

if os.environ.get("SLURM") != "real":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def cluster(daemons: Cluster) -> Cluster:
    """Three idle nodes, whatever the test before did to them."""
    daemons.mend()
    return daemons


@pytest.fixture(scope="module")
def daemons(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Where Slurm is found is in our environment. A module may have SETTINGS of its own."""
    if absent := missing():
        pytest.skip(f"no Slurm here: {', '.join(absent)} missing")
    at = Path(tempfile.mkdtemp(prefix="exptui-slurm-"))  # a socket's path is short
    one = Cluster(at, **getattr(request.module, "SETTINGS", {}))
    before = dict(os.environ)
    os.environ.update(one.environ)
    try:
        one.start()
        yield one
    finally:
        one.stop()
        os.environ.clear()
        os.environ.update(before)
        if not os.environ.get("KEEP_SLURM"):
            shutil.rmtree(at, ignore_errors=True)
