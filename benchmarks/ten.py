"""The lineup that benchmarks are about: the one that config/ ships."""

from pathlib import Path

import yaml

_FILE = Path(__file__).resolve().parents[1] / "config" / "lineup-4xa100.yaml"
TEN: tuple[str, ...] = tuple(yaml.safe_load(_FILE.read_text("utf-8"))["models"])
