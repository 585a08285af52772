"""A model that cannot load, on the cluster."""

import re
from pathlib import Path

from cluster import Cluster
from cluster_project import ClusterProject


def test_each_retry_asks_for_more_time_and_the_last_gives_up(
    tmp_path: Path, cluster: Cluster
) -> None:
    """Its rows say why; the other model is collected, and the run fails at the quality gate."""
    project = ClusterProject(tmp_path, cluster, {"good": 1, "bad": 1})
    project.misbehave(refuse=["bad"])
    output = project.submit(fails=True)
    limits = [
        int(re.findall(r" -t (\d+)", line)[0])
        for line in output.splitlines()
        if line.startswith("sbatch call") and "_wildcards_bad_" in line
    ]
    assert limits[0] > 0
    assert limits == [n * limits[0] for n in range(1, len(limits) + 1)]
    assert len(limits) == 3
    rows = project.responses()
    assert len(rows) == 20
    assert {row["model"] for row in rows if row["success"]} == {"good"}
    reasons = {row["error"] for row in rows if row["model"] == "bad"}
    assert any("the weights are corrupt" in str(reason) for reason in reasons)
