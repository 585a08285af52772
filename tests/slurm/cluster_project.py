"""A user's project that runs on the test cluster, with the fake engine."""

import json
import time
from datetime import datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import pyarrow.parquet as pq
from cluster import Cluster, Job
from project import Project

SMALL = (
    "generate:mem_mb=threads*500",
    "generate:cpus_per_task=threads",
    "pilot_model:mem_mb=threads*500",
    "pilot_model:cpus_per_task=threads",
)
"""What a node of the test cluster has, in place of the profile's figures."""


class ClusterProject(Project):
    """Models by width: `widths={"one": 1, "four": 4}`; weights are stand-ins."""

    def __init__(self, folder: Path, cluster: Cluster, widths: dict[str, int]) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self.output = ""
        models: list[dict[str, Any]] = []
        for name, width in widths.items():
            weights = folder / "models" / name
            weights.mkdir(parents=True, exist_ok=True)
            (weights / "config.json").write_text("{}")
            (weights / "model.safetensors").write_bytes(name.encode())
            models.append({"name": name, "path": f"models/{name}", "tensor_parallel_size": width})
        self.config |= {
            "models": models,
            "hardware": {"gpus": 8, "gpu_type": "H100-80GB"},
            "planning": {"shards": 1},
        }
        self.env["EVALPACK_TEST_NVML"] = "pretended_gpus:SlurmNode"
        self.write()

    def command(self, *more: str) -> list[str]:
        """Arguments of `snakemake`: the shipped profile, with a small node's figures."""
        quick = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]
        where = ["--default-resources", "nodes=1", "tasks=0", "mem_mb=500", "runtime=5"]
        where += ["slurm_partition='gpu'", "slurm_account='proj1'"]
        profile = ["--workflow-profile", "profiles/slurm", "--seconds-between-status-checks", "2"]
        return [*profile, *quick, *where, "--set-resources", *SMALL, *more]

    def submit(self, *more: str, fails: bool = False) -> str:
        """Run the workflow on the cluster to its end; what it printed."""
        self.output = self.run(*self.command(*more, "--verbose"), fails=fails)
        self.show_submissions()
        return self.output

    def show_submissions(self) -> None:
        """Print how jobs were submitted, for who reads the log of these tests."""
        for line in self.output.splitlines():
            if "sbatch " in line:
                print(line.strip()[:400])

    def jobs_of(self, model: str) -> list[Job]:
        """SLURM's jobs of a model of this project, the first attempt first."""
        return [job for _, job in sorted(self._jobs(model).items())]

    def job_of(self, model: str) -> int:
        """Id of the model's last job."""
        return max(self._jobs(model))

    def jobs(self, state: str) -> list[int]:
        """Ids of this project's jobs in a state."""
        found = self._jobs("")
        return [number for number, job in found.items() if job.state == state]

    def _jobs(self, model: str) -> dict[int, Job]:
        names = {line.split("SLURM run ID: ")[1] for line in self._printed("SLURM run ID: ")}
        told = self.results / "submitted.json"
        if told.exists():
            names.add(json.loads(told.read_text())["job_name"])
        return {
            number: job
            for number, job in self.cluster.squeue().items()
            if job.name in names and f"_wildcards_{model}" in job.comment
        }

    def _printed(self, text: str) -> list[str]:
        return [line.strip() for line in self.output.splitlines() if text in line]

    def time_of(self, job: int, field: str) -> datetime:
        """A time that `scontrol show job` tells, such as StartTime."""
        told = self.cluster.command("scontrol", "show", "job", str(job))
        return datetime.fromisoformat(told.partition(f" {field}=")[2].split()[0])

    def wait_for_model(self, model: str, process: Popen[str]) -> None:
        """Wait until a model's job has answers in its journal."""
        while not any(f.stat().st_size for f in self.results.glob(f"journal/{model}/*.jsonl")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)

    def leases(self) -> dict[str, dict[str, Any]]:
        """By model: node and devices of each attempt, and when it had them, from telemetry."""
        from evalpack.telemetry.facts import KEY, Facts

        found: dict[str, dict[str, Any]] = {}
        for file in sorted(self.results.glob("telemetry/*/*.parquet")):
            facts = Facts.from_json(pq.read_schema(file).metadata[KEY])
            found[facts.job.model] = {
                "devices": [device.uuid for device in facts.devices],
                "taken": facts.taken,
                "released": facts.released or facts.known_until,
            }
        return found

    def plan(self) -> dict[str, Any]:
        """plan.json."""
        told: dict[str, Any] = json.loads((self.results / "plan.json").read_text())
        return told
