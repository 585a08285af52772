"""What was measured of vLLM (tests/unit/golden/measured_speed.yaml) against the cost model."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from lineups import MODELS, REPO, work

from evalpack.plan.cost import generate_seconds
from evalpack.plan.hardware import GPUS
from evalpack.plan.settings import CAPTURED, Settings
from evalpack.plan.start import IMPORT, Storage, engine_seconds

GOLDEN = REPO / "tests" / "unit" / "golden" / "measured_speed.yaml"


@dataclass(frozen=True)
class Row:
    """One measurement: `measured` is in seconds, or in tokens a second."""

    entry: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def what(self) -> str:
        return str(self.entry["what"])

    @property
    def measured(self) -> float:
        return float(self.entry["measured"])

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured

    @cached_property
    def predicted(self) -> float:
        """What the cost model says of the same: all that the row does not name is the default."""
        given = self.entry.get
        model, device = MODELS[self.entry["model"]], GPUS[self.entry["gpu"]]
        settings = Settings(
            tp=given("tp", 1),
            max_num_seqs=given("max_num_seqs", 1024),
            mode=given("mode", "eager"),
            captured=given("captured", CAPTURED),
            call=given("call"),
            detokenize=given("detokenize", True),
            engines=given("engines", 1),
        )
        storage = Storage(
            bytes_per_second=given("load_gb_per_second", 1e9) * 1e9,  # random weights: no reading
            compiled=given("compiled", True),
            inspected=given("inspected", True),
            triton=given("triton", True),
        )
        asked = work(given("requests", 5000), given("prompt", 126), given("output", 128))
        if self.what == "import":
            return IMPORT * device.host
        if self.what == "start":
            return engine_seconds(model, device, settings, storage)
        seconds = generate_seconds(model, device, asked, settings)
        if self.what == "generate":
            return seconds
        assert self.what == "tokens_per_second", f"{self.name}: what is {self.what}?"
        each = asked.output_tokens + (asked.prompt_tokens if given("total") else 0)
        return asked.requests * each / seconds * given("replicas", 1)


def rows() -> list[Row]:
    """All measurements, as they stand in the file."""
    return [Row(entry) for entry in yaml.safe_load(GOLDEN.read_text(encoding="utf-8"))]


def table(all_rows: list[Row]) -> str:
    """Predicted and measured, a line a row."""
    lines = [f"{'':34} {'':18} {'predicted':>10} {'measured':>10}  ratio"]
    for row in all_rows:
        lines.append(
            f"{row.name:34} {row.what:18} {row.predicted:10.1f} {row.measured:10.1f} {row.ratio:6.2f}"
        )
    return "\n".join(lines)
