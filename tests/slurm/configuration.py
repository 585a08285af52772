"""The throw-away cluster's files in /etc/slurm: whose they are, and what stands in them."""

import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import TextIO

NAME = "evalpack-test"
NODES = ("n1", "n2")
GPUS = 4
SLURM_CONF = Path("/etc/slurm/slurm.conf")
GRES_CONF = Path("/etc/slurm/gres.conf")
OURS = "# Written by evalpack's tests/slurm, which overwrites and removes it."
INSTALL = "apt-get install -y slurmctld slurmd slurm-client munge"
PROGRAMS = ("slurmctld", "slurmd", "scontrol", "sbatch", "squeue", "munged", "mungekey", "setpriv")
LOCK = Path("/run/evalpack-slurm.lock")


class ClusterError(Exception):
    """Why there is no cluster, in a sentence for whoever ran the tests."""


def program(name: str) -> str:
    """The path of a program; daemons lie in sbin, which is not on everyone's PATH."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise ClusterError(f"there is no `{name}`; as root, on Debian 12: {INSTALL}")
    return found


def check_machine() -> None:
    """Refuse a machine that cannot have the cluster, or has a cluster of somebody else's."""
    for name in PROGRAMS:
        program(name)
    if os.geteuid() != 0:
        raise ClusterError(
            "the throw-away SLURM cluster needs root, since its daemons write /etc/slurm and "
            f"start jobs for any user; run these tests as root (packages: {INSTALL})"
        )
    elsewhere = os.environ.get("SLURM_CONF", str(SLURM_CONF))
    if Path(elsewhere) != SLURM_CONF:
        raise ClusterError(f"SLURM_CONF names another cluster, {elsewhere}; unset it")
    for path in (SLURM_CONF, GRES_CONF):
        if path.exists() and not path.read_text().startswith(OURS):
            raise ClusterError(
                f"{path} was not written by these tests, so this machine may belong to a real "
                "cluster; it is left as it is. Run the tests elsewhere, or move the file away"
            )


def lock() -> TextIO:
    """Keep other test sessions out until the file is closed, or this process ends in any way."""
    held = LOCK.open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise ClusterError("another test session has the SLURM cluster up; wait for it") from None
    return held


def write(folder: Path) -> None:
    """Write the configuration of a cluster whose state lies in the folder."""
    SLURM_CONF.parent.mkdir(exist_ok=True)
    SLURM_CONF.write_text(_slurm_conf(folder))
    # Any character devices do. CUDA_VISIBLE_DEVICES is only set where gres.conf names files, and
    # counts from 0 only if the names have no digits.
    GRES_CONF.write_text(
        f"{OURS}\n"
        f"NodeName={','.join(NODES)} Name=gpu File=/dev/null,/dev/zero,/dev/full,/dev/random\n"
    )


def remove() -> None:
    """Remove the configuration, if it is ours."""
    for path in (SLURM_CONF, GRES_CONF):
        if path.exists() and path.read_text().startswith(OURS):
            path.unlink()


def _slurm_conf(folder: Path) -> str:
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={17001 + index} CPUs=16 "
        "Boards=1 SocketsPerBoard=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=16000 "
        f"Gres=gpu:{GPUS} State=UNKNOWN"
        for index, name in enumerate(NODES)
    )
    return f"""{OURS}
ClusterName={NAME}
SlurmUser=root

# Loopback only: nothing outside the machine can reach these daemons.
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny

StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n

# 16 CPUs and 16 GB a node, whatever this machine has; no cgroups, which containers lack.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu

# A job starts the moment that it fits, and dies two seconds after it was asked to.
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
OverTimeLimit=0
KillWait=2
# A node that was set down stays down until it is given back, although its slurmd answers.
ReturnToService=1
# How long squeue goes on showing a job that has ended.
MinJobAge=600

{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=500 State=UP
"""
