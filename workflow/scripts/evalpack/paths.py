"""Where the files of a run lie: the one place that spells the layout."""

from pathlib import Path


class RunPaths:
    """Paths under `<results>/<run>`."""

    def __init__(self, run_dir: Path) -> None:
        self.run = run_dir
        self.plan = run_dir / "plan.json"
        self.samples = run_dir / "samples.parquet"
        self.samples_report = run_dir / "samples.json"
        self.lock = run_dir / "run.lock"
        self.submitted = run_dir / "submitted.json"
        self.retries = run_dir / "retries.json"
        self.planning = run_dir / "plan"
        self.plans = self.planning / "cache"
        self.planned_samples = self.planning / "samples.json"
        self.quality = run_dir / "quality.json"
        self.judge_ready = run_dir / "judge_ready"
        self.telemetry_summary = run_dir / "telemetry" / "summary.json"

    def weights(self, slug: str) -> Path:
        """Description of a model's files."""
        return self.run / "weights" / f"{slug}.json"

    def journal(self, slug: str) -> Path:
        """Folder of a model's journal."""
        return self.run / "journal" / slug

    def generations(self, slug: str) -> Path:
        """Folder of a model's shards."""
        return self.run / "generations" / slug

    def shard(self, slug: str, index: int, shards: int) -> Path:
        """Shard `index` (from 1) of `shards`."""
        return self.generations(slug) / f"{index}-of-{shards}.parquet"

    def heartbeat(self, slug: str, job: str) -> Path:
        """Where a running job (`<i>-of-<n>`, or `pilot`) tells how far it is."""
        return self.run / "heartbeat" / slug / f"{job}.json"

    def starts(self, slug: str, index: int, shards: int) -> Path:
        """Note of a job's starts."""
        return self.run / "starts" / slug / f"{index}-of-{shards}.json"

    def begun(self, slug: str) -> bool:
        """Whether a generate job of the model has ever begun."""
        return any(
            folder.is_dir() for folder in (self.generations(slug), self.run / "starts" / slug)
        )

    def pilot(self, slug: str) -> Path:
        """What a model's pilot measured."""
        return self.run / "pilot" / f"{slug}.json"

    def measured(self, slug: str, job: str) -> Path:
        """What a finished job measured: times and lengths, for calibration."""
        return self.run / "measured" / slug / f"{job}.json"

    def telemetry(self, slug: str) -> Path:
        """Folder of what a model's jobs recorded of their GPUs, a file an attempt."""
        return self.run / "telemetry" / slug

    def merged(self, slug: str) -> Path:
        """One model's raw answers, joined to their samples."""
        return self.run / "merged" / f"{slug}.parquet"

    def responses(self, slug: str) -> Path:
        """One model's response records."""
        return self.run / "responses" / f"{slug}.parquet"

    def integration(self, run: str) -> Path:
        """The records for downstream tools: first condition, first draw."""
        return self.judge_ready / f"server_results_for_integration_{run}.json"

    def metadata(self, run: str) -> Path:
        """The metadata for downstream tools."""
        return self.judge_ready / f"server_metadata_for_integration_{run}.json"
