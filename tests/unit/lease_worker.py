"""Real processes that lease pretended GPUs: the other side of test_leases*.py.

    python lease_worker.py hold 2 KIND LABEL  lease two GPUs, start a child, wait for stdin to close
    python lease_worker.py launch SEED JOBS   run jobs one after the other and kill some of them
    python lease_worker.py repeat 1 LABEL     lease, use, give back, over and over
    python lease_worker.py use LEASE UUID...  use GPUs for a long time

The pretended machine is a folder (LEASE_TEST_MACHINE): gpus.json, memory/ with a file for what each
process has allocated, witness/ where each user of a GPU signs in, and events.jsonl.
"""

import contextlib
import json
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MACHINE = "LEASE_TEST_MACHINE"
GIB = 2**30
FOREVER = 30.0


def machine() -> Path:
    return Path(os.environ[MACHINE])


def lives(pid: int) -> bool:
    """Asked of the kernel in another way than evalpack does."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status and "State:\tX" not in status


class FakeNvml:
    """GPUs as gpus.json says; memory is freed when its process dies, as on a real one."""

    def __init__(self) -> None:
        self._gpus = json.loads((machine() / "gpus.json").read_text())

    def devices(self) -> tuple[Any, ...]:
        from evalpack.leases import Device

        return tuple(
            Device(gpu["uuid"], index, 80 * GIB, "Pretended A100 80GB")
            for index, gpu in enumerate(self._gpus)
        )

    def used_bytes(self, device: Any) -> int:
        used = 0
        for file in (machine() / "memory").glob(f"{device.uuid}@*"):
            owner = file.name.rpartition("@")[2]
            if owner == "foreign" or lives(int(owner)):
                with contextlib.suppress(FileNotFoundError, ValueError):
                    used += int(file.read_text())
        return used

    def linked(self, one: Any, other: Any) -> bool:
        return other.index in self._gpus[one.index].get("links", [])

    def distance(self, one: Any, other: Any) -> int:
        return 10 * abs(one.index - other.index)

    def close(self) -> None:
        pass


def tell(event: str, **more: object) -> None:
    """Append one event; a short write in append mode is not torn by others."""
    line = json.dumps({"event": event, "at": time.monotonic(), "pid": os.getpid(), **more}) + "\n"
    fd = os.open(machine() / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)


def write_down(text: str) -> None:
    tell("log", text=text)


def use(lease: str, uuids: Sequence[str], seconds: float) -> None:
    """Sign in at each GPU, look around for users of other leases, allocate memory, sign out."""
    files = []
    for uuid in uuids:
        desk = machine() / "witness" / uuid
        desk.mkdir(parents=True, exist_ok=True)
        files.append(desk / f"{lease}@{os.getpid()}")
        files[-1].touch()
        files.append(machine() / "memory" / f"{uuid}@{os.getpid()}")
        files[-1].write_text(str(60 * GIB))
    tell("begin", lease=lease, uuids=list(uuids))
    end = time.monotonic() + seconds
    while True:
        for uuid in uuids:
            for other in (machine() / "witness" / uuid).iterdir():
                theirs, _, pid = other.name.partition("@")
                if theirs != lease and lives(int(pid)):
                    tell("shared", uuid=uuid, lease=lease, other=other.name)
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    for file in files:
        file.unlink()


def start_child(kind: str, lease: str, uuids: Sequence[str]) -> int | None:
    """Start a process that goes on using the GPUs whatever becomes of us; returns its id."""
    command = [sys.executable, __file__, "use", lease, *uuids]
    match kind:
        case "none":
            return None
        case "fork":
            if pid := os.fork():
                return pid
            use(lease, uuids, FOREVER)
            os._exit(0)
        case "daemon":  # a fork of a fork, in a session of its own
            reader, writer = os.pipe()
            if middle := os.fork():
                os.waitpid(middle, 0)
                return int(os.read(reader, 20))
            os.setsid()
            if pid := os.fork():
                os.write(writer, str(pid).encode())
                os._exit(0)
            use(lease, uuids, FOREVER)
            os._exit(0)
        case "popen":
            return subprocess.Popen(command).pid
        case "renamed":  # as vLLM's processes do
            return subprocess.Popen([sys.executable, __file__, "rename", lease, *uuids]).pid
        case "spawn":
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=use, args=(lease, uuids, FOREVER))
            process.start()
            return process.pid
        case other:
            raise ValueError(other)


def end_child(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while lives(pid):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)


def job(width: int, kind: str, label: str, seconds: float, ready: int) -> None:
    """Lease, use the GPUs together with a child, end the child, give back."""
    from evalpack import leases

    with leases.acquire(width, label, max_wait=120.0, log=write_down) as got:
        lease = os.environ["EVALPACK_LEASE"]
        uuids = [device.uuid for device in got.devices]
        tell("leased", lease=lease, uuids=uuids)
        os.write(ready, b"!")
        child = start_child(kind, lease, uuids)
        use(lease, uuids, seconds)
        if child:
            end_child(child)
    tell("released", lease=lease)


def launch(seed: int, jobs: int) -> None:
    """Run jobs one after the other and kill a quarter of them.

    Half of these die at any moment, waiting most likely, the other half while they have GPUs.
    """
    chance = random.Random(seed)
    import evalpack.leases.lease  # noqa: F401 - once, for all the jobs forked from here

    for number in range(jobs):
        width = chance.choice([1, 1, 2, 4])
        kind = chance.choice(["none", "fork", "daemon", "popen", "spawn"])
        doomed = chance.choice(["", "", "", "", "", "", "early", "late"])
        delay, seconds = chance.random(), chance.random() * 0.03
        ready, ready_to_tell = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                seconds = FOREVER if doomed == "late" else seconds
                job(width, kind, f"job {seed}.{number}", seconds, ready_to_tell)
            except BaseException as error:
                tell("failed", error=repr(error))
            os._exit(0)
        if doomed == "late":
            select.select([ready], [], [], 60)
        if doomed:
            time.sleep(delay if doomed == "early" else 0.2 * delay)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        tell("ended", job=pid, width=width, kind=kind, killed=os.WIFSIGNALED(status))
        os.close(ready)
        os.close(ready_to_tell)


def hold(width: int, kind: str, label: str) -> None:
    from evalpack import leases

    with leases.acquire(width, label, log=write_down) as got:
        uuids = [device.uuid for device in got.devices]
        child = start_child(kind, os.environ["EVALPACK_LEASE"], uuids)
        print(json.dumps({"uuids": uuids, "child": child}), flush=True)
        sys.stdin.read()


def repeat(width: int, label: str) -> None:
    ready = os.open(os.devnull, os.O_WRONLY)
    while True:
        job(width, "none", label, 0.05, ready)


def rename(lease: str, uuids: Sequence[str]) -> None:
    from setproctitle import setproctitle

    setproctitle("VLLM::EngineCore")
    use(lease, uuids, FOREVER)


class Machine:
    """A pretended machine in a folder, and the environment that makes evalpack see it."""

    def __init__(self, root: Path, gpus: int, links: Sequence[Sequence[int]] = ()) -> None:
        self.root = root
        self.leases = root / "leases"
        for folder in ("memory", "witness"):
            (root / folder).mkdir(parents=True)
        rows: list[dict[str, Any]] = [{"uuid": f"GPU-{i}", "links": []} for i in range(gpus)]
        for group in links:
            for one in group:
                rows[one]["links"] += [other for other in group if other != one]
        (root / "gpus.json").write_text(json.dumps(rows))
        self.environment = {
            MACHINE: str(root),
            "EVALPACK_LEASE_DIR": str(self.leases),
            "EVALPACK_TEST_NVML": "lease_worker:FakeNvml",
        }

    def foreign(self, uuid: str, used: float) -> Path:
        """Let somebody else use so many bytes until the file is removed."""
        file = self.root / "memory" / f"{uuid}@foreign"
        file.write_text(str(int(used)))
        return file

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)],
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def holding(
        self, width: int, label: str = "other", kind: str = "none", **environment: str
    ) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
        """A process that has a lease, and what it says of it; killed at the end."""
        with self.start("hold", width, kind, label, **environment) as process:
            try:
                yield process, json.loads(process.stdout.readline())
            finally:
                process.kill()

    def events(self, kind: str) -> list[dict[str, Any]]:
        file = self.root / "events.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hold", width, kind, label]:
            hold(int(width), kind, label)
        case ["launch", seed, jobs]:
            launch(int(seed), int(jobs))
        case ["repeat", width, label]:
            repeat(int(width), label)
        case ["use", lease, *uuids]:
            use(lease, uuids, FOREVER)
        case ["rename", lease, *uuids]:
            rename(lease, uuids)
        case other:
            raise SystemExit(f"what is {other}?")
