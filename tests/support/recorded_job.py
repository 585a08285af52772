"""A job in a process of its own, to be killed.

python recorded_job.py FOLDER [LIMIT]  records until it is killed; says a line when it generates
                                       LIMIT: bytes that a file may have; then it ends by itself
"""

import resource
import sys
import time
from pathlib import Path

import scripted_nvml

from evalpack.telemetry import JobInfo, Recorder

if __name__ == "__main__":
    folder, *limit = sys.argv[1:]
    if limit:
        most = int(limit[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    with Recorder(Path(folder), JobInfo("a:b", "a-b", "1-of-1", 1)) as recorder:
        recorder.phase("waiting")
        recorder.devices([scripted_nvml.device("GPU-a")])
        recorder.phase("loading")
        scripted_nvml.wait_for("GPU-a", 2)
        recorder.phase("generating")
        for _ in range(5):
            recorder.answered(10, 3)
        scripted_nvml.wait_for("GPU-a", 4)
        recorder.phase("generating")
        print("generating", flush=True)
        while not limit:
            time.sleep(1)
        recorder.phase("ending")
        recorder.released()
    print("went on", flush=True)
