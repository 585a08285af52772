"""A throw-away SLURM cluster for the tests of this folder."""

from collections.abc import Iterator

import pytest
from cluster import Cluster
from configuration import ClusterError


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, up and with all nodes idle; one for the whole session."""
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
    except ClusterError as error:
        complaint = str(error)
    else:
        complaint = ""
    if complaint:
        # A failure, not a skip: else CI would one day test nothing and nobody would notice.
        pytest.fail(complaint, pytrace=False)
    try:
        yield started
    finally:
        started.stop()
