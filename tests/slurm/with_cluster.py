"""Run a command while the throw-away SLURM cluster is up: python tests/slurm/with_cluster.py COMMAND…"""

import subprocess
import sys
import tempfile
from pathlib import Path

from cluster import Cluster
from configuration import ClusterError


def main() -> None:
    """The command's exit code."""
    with tempfile.TemporaryDirectory(prefix="evalpack-slurm-") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
        except ClusterError as error:
            sys.exit(f"error: {error}")
        try:
            code = subprocess.run(sys.argv[1:], check=False).returncode
        finally:
            cluster.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
