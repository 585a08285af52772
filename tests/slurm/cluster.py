"""A real SLURM cluster on loopback: two nodes with four pretended GPUs each, gone after the tests.

Controller, slurmd and munge are Debian's own, and what they run are real processes of this machine.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

import configuration
from configuration import NODES, ClusterError, program
from daemons import Daemon, kill_jobs, start_munge, wait_until


class Job(NamedTuple):
    """A job as squeue shows it."""

    state: str
    node: str
    reason: str
    comment: str
    name: str


class Cluster:
    """The cluster, and what may happen to one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slurmds: dict[str, Daemon] = {}
        self.slurmctld: Daemon | None = None
        self._munged: Daemon | None = None
        self._lock: TextIO | None = None

    def start(self) -> None:
        """Bring everything up, or nothing: what had started before a failure is taken down."""
        configuration.check_machine()
        self._lock = configuration.lock()
        try:
            # Those of a session that was killed; its daemons ended with it, its jobs did not.
            kill_jobs()
            for name in ("state", "log", *(f"spool.{node}" for node in NODES)):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            configuration.write(self.folder)
            self._munged = start_munge(self.folder)
            self.start_controller("-c")
            for node in NODES:
                self._start_slurmd(node)
            self._wait_for_nodes(NODES)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take everything down, jobs included, whatever state it is in."""
        with contextlib.ExitStack() as last_to_first:
            # Each of these is done even if one before it fails.
            if self._lock is not None:
                last_to_first.callback(self._lock.close)
                last_to_first.callback(configuration.remove)
            if self._munged is not None:
                last_to_first.callback(self._munged.stop)
            if self._lock is not None:
                last_to_first.callback(kill_jobs)
            for slurmd in self.slurmds.values():
                last_to_first.callback(slurmd.stop)
            if self.slurmctld is not None:
                last_to_first.callback(self.slurmctld.stop)
        self.slurmds, self.slurmctld, self._munged, self._lock = {}, None, None, None

    def start_controller(self, *options: str) -> None:
        """Start slurmctld on the state that it left (`-c`: on none) and wait until it answers."""
        slurmctld = Daemon("slurmctld", self.folder, program("slurmctld"), "-D", *options)
        self.slurmctld = slurmctld
        self._wait(lambda: not slurmctld.alive or self._answers(), "slurmctld does not answer")
        if not slurmctld.alive:
            raise ClusterError(f"slurmctld ended at once:\n{self.log_tail()}")

    def stop_controller(self, *, kill: bool = False) -> None:
        """Stop slurmctld, in order or as a crash does; jobs run on, squeue and sbatch fail.

        A crash forgets what was not written down (`save_jobs`): it takes a job that runs for one
        that waits, and tries to start it once more.
        """
        if self.slurmctld is not None:
            (self.slurmctld.kill if kill else self.slurmctld.stop)()

    def save_jobs(self) -> None:
        """Have the controller write down which jobs run.

        It does so with whatever is submitted, but a start that it found by backfilling it may keep
        to itself for minutes.
        """
        before = self._saved()
        for number, job in self.squeue().items():
            if job.state in ("PENDING", "RUNNING"):
                # What it says already; any update makes it write.
                self.command("scontrol", "update", f"jobid={number}", f"name={job.name}")
        self._wait(lambda: self._saved() > before, "the controller saved no state")

    def restart_controller(self, *, kill: bool = False) -> None:
        """Stop slurmctld and start it anew."""
        self.stop_controller(kill=kill)
        self.start_controller()

    def node_down(self, name: str) -> None:
        """Set a node down, as an administrator does: its jobs end as NODE_FAIL or are requeued."""
        self.command("scontrol", "update", f"nodename={name}", "state=down", "reason=a test")
        self._wait(lambda: "down" in self.nodes()[name], f"{name} is not down")

    def kill_node(self, name: str) -> None:
        """Let a node lose power: slurmd and jobs are gone at once.

        The controller would notice after minutes; `node_down` tells it now.
        """
        self.slurmds[name].kill()
        kill_jobs(self.slurmds[name].home)

    def node_up(self, name: str) -> None:
        """Give a node back, whatever happened to it, and wait until it takes jobs."""
        if not self.slurmds[name].alive:
            self._start_slurmd(name)
        self._wait_for_nodes([name])

    def nodes(self) -> dict[str, str]:
        """The nodes' states in sinfo's short form: idle, mix, alloc, down and so on."""
        lines = self.command("sinfo", "-h", "-N", "-o", "%N %t").splitlines()
        states = (line.split() for line in lines)
        return {state[0]: state[1] for state in states}

    def sbatch(self, script: str, *options: str) -> int:
        """Submit a bash script; its output is slurm-ID.out in the cluster's folder."""
        command = [program("sbatch"), "--parsable", f"--chdir={self.folder}", *options]
        return int(self._run(command, f"#!/bin/bash\n{script}\n"))

    def squeue(self) -> dict[int, Job]:
        """All jobs by id, those that ended in the last ten minutes among them."""
        shown = self.command("squeue", "-h", "-t", "all", "-o", "%A\t%T\t%N\t%r\t%k\t%j")
        rows = (line.split("\t", maxsplit=5) for line in shown.splitlines())
        return {int(number): Job(*fields) for number, *fields in rows}

    def wait_for(self, jobs: Iterable[int], state: str, seconds: float = 30) -> None:
        """Wait until all of these jobs are in a state."""
        jobs = [*jobs]

        def there() -> bool:
            found = self.squeue()
            return all(found[job].state == state for job in jobs)

        self._wait(there, f"not all of {jobs} are {state}", seconds)

    def command(self, name: str, *arguments: str) -> str:
        """Run one of SLURM's commands and return what it printed."""
        return self._run([program(name), *arguments])

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of each daemon's log."""
        logs = sorted((self.folder / "log").iterdir())
        return "\n".join(
            f"{path.name}: {line}"
            for path in logs
            for line in path.read_text(errors="replace").splitlines()[-lines:]
        )

    def _run(self, command: list[str], given: str = "") -> str:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise ClusterError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
        return done.stdout

    def _saved(self) -> int:
        return (self.folder / "state" / "job_state").stat().st_mtime_ns

    def _answers(self) -> bool:
        try:
            return " is UP" in self.command("scontrol", "ping")
        except ClusterError:
            return False

    def _start_slurmd(self, node: str) -> None:
        self.slurmds[node] = Daemon(node, self.folder, program("slurmd"), "-D", "-N", node)

    def _wait_for_nodes(self, names: Iterable[str]) -> None:
        def ready() -> bool:
            states = self.nodes()
            down = [n for n in names if states[n].startswith(("down", "drain", "drng"))]
            for name in down:
                # It may have come back by itself since, which makes this an error.
                with contextlib.suppress(ClusterError):
                    self.command("scontrol", "update", f"nodename={name}", "state=resume")
            return all(states[n] in ("idle", "mix", "alloc") for n in names)

        self._wait(ready, f"not all of {[*names]} are up")

    def _wait(self, happened: Callable[[], bool], complaint: str, seconds: float = 30) -> None:
        wait_until(happened, seconds, lambda: f"{complaint}\n{self._queue()}\n{self.log_tail()}")

    def _queue(self) -> str:
        try:
            return "\n".join(f"job {number}: {job}" for number, job in self.squeue().items())
        except ClusterError as error:
            return str(error)
