"""The cluster's processes: its daemons, and the jobs that they started."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from configuration import NAME, SLURM_CONF, ClusterError, program

MUNGE_RUN = Path("/run/munge")
MUNGE_KEY = Path("/etc/munge/munge.key")
AS_MUNGE = ("--reuid=munge", "--regid=munge", "--init-groups")


def wait_until(happened: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    """Wait until something has happened; if it does not, say what there is instead."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise ClusterError(complaint())
        time.sleep(0.1)


class Daemon:
    """A daemon in the foreground, as a child of the tests that does not outlive them.

    Start it from the main thread: the kernel ends it with the thread that started it.
    """

    def __init__(
        self, name: str, folder: Path, *arguments: str, user: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        # A working folder of its own, which its slurmstepds inherit: it tells whose they are.
        self.home = folder / name
        self.home.mkdir(exist_ok=True)
        # Even if the tests are killed with -9, the daemon gets its SIGTERM and tidies up.
        command = ["setpriv", *user, "--pdeathsig", "TERM", *arguments]
        self.said = folder / "log" / f"{name}.out"
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={**os.environ, "SLURM_CLUSTER_NAME": NAME},
                # Ctrl-C is for the tests, which then stop the daemons in their order.
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End it in order; with SIGKILL if that takes more than ten seconds."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does."""
        self.process.kill()
        self.process.wait()


def start_munge(folder: Path) -> Daemon | None:
    """Start munged, which vouches for who sent a message, unless it runs already."""
    if _munge_answers():
        return None
    MUNGE_RUN.mkdir(exist_ok=True)
    try:
        os.chown(MUNGE_RUN, *_munge_user())
        if not MUNGE_KEY.exists():
            # As munge, since munged refuses a key that belongs to anyone else.
            create = ["setpriv", *AS_MUNGE, program("mungekey"), "--create"]
            subprocess.run(create, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"mungekey made no {MUNGE_KEY}: {error.stderr.strip()}") from None
    arguments = ("--foreground", f"--pid-file={MUNGE_RUN / 'munged.pid'}")
    munged = Daemon("munged", folder, program("munged"), *arguments, user=AS_MUNGE)
    try:
        wait_until(
            _munge_answers,
            20,
            lambda: f"munged does not answer: {munged.said.read_text().strip()}",
        )
    except BaseException:
        munged.stop()
        raise
    return munged


def kill_jobs(node_home: Path | None = None) -> None:
    """Kill all that jobs of the cluster left running, or those of the node with that folder."""
    end = time.monotonic() + 10
    while found := [*_job_processes(node_home)]:
        if time.monotonic() > end:
            raise ClusterError(f"these processes of SLURM jobs do not die: {found}")
        # slurmstepd first: it would tell the controller that its job has failed.
        for process in sorted(found, key=lambda each: each.name() != "slurmstepd"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # Again until none is found, since one may have forked in between.
        psutil.wait_procs(found, timeout=5)


def _job_processes(node_home: Path | None) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            name, status = process.name(), process.status()
            home = Path(process.cwd())
        except (OSError, psutil.Error):
            continue
        variables = environment.split(b"\0")
        if name == "slurmstepd":
            # Its title overwrites its environment but for the last variable.
            ours = f"SLURM_CONF={SLURM_CONF}".encode() in variables
            here = node_home is None or home == node_home
        else:
            ours = f"SLURM_CLUSTER_NAME={NAME}".encode() in variables
            here = node_home is None or f"SLURMD_NODENAME={node_home.name}".encode() in variables
        if ours and here and status != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            yield process


def _munge_answers() -> bool:
    return (
        subprocess.run([program("munge"), "-n"], capture_output=True, check=False).returncode == 0
    )


def _munge_user() -> tuple[int, int]:
    import pwd

    user = pwd.getpwnam("munge")
    return user.pw_uid, user.pw_gid
