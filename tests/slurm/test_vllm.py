"""A real model on the real vLLM, through sbatch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cluster import Cluster

REPOSITORY = Path(__file__).parents[2]
COMMAND = ["--workflow-profile", "profiles/slurm-demo", "--configfile", "config/cpu-nodes.yaml"]


@pytest.mark.vllm
def test_the_demo_on_the_cluster(tmp_path: Path, cluster: Cluster) -> None:
    """`make demo-slurm`'s command, with one model and few questions."""
    model = REPOSITORY / "models/smollm2-135m-instruct"
    if not model.exists():
        subprocess.run([sys.executable, "-m", "evalpack.demo_model", str(model)], check=True)
    for name in ("Snakefile", "workflow", "profiles", "config", "envs"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "models").symlink_to(model.parent)
    few = tmp_path / "few.yaml"
    few.write_text("models: [{name: 'smollm2:135m', shards: 1}]\nsamples: {limit: 8}\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *COMMAND, str(few), "--verbose"],
        cwd=tmp_path,
        env={**os.environ, "EVALPACK_LEASE_DIR": str(tmp_path / "leases")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    for line in output.splitlines():
        if "sbatch " in line:
            print(line.strip()[:400])
    rows = pq.read_table(tmp_path / "results/demo-slurm/judge_ready/responses.parquet").to_pylist()
    assert len(rows) == 8
    assert all(row["response"] for row in rows)
    jobs = [job for job in cluster.squeue().values() if "_smollm2-135m_" in job.comment]
    assert [job.state for job in jobs] == ["COMPLETED"]
