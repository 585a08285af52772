"""Telemetry: what the GPUs do while a job has them, and what that comes to for a run.

    with Recorder(paths.telemetry(slug), job=JobInfo(model, slug, "1-of-2", gpus=1)) as recorder:
        recorder.phase("waiting")
        recorder.devices(lease.devices)  # sampling begins
        recorder.phase("loading")
        recorder.phase("generating")
        recorder.answered(tokens, prompt_tokens)
        recorder.phase("ending")
        recorder.released()  # sampling ends

    write_summary(run_folder, gpus=4)

A job never fails for want of telemetry: what cannot be read is null, what cannot be written is
said in the log.
"""

from evalpack.telemetry.facts import JobInfo
from evalpack.telemetry.recorder import Recorder
from evalpack.telemetry.summary import summarise, write_summary

__all__ = ["JobInfo", "Recorder", "summarise", "write_summary"]
