"""A real Slurm on this host: munge, slurmctld and three slurmd, in a directory of their own and without systemd.

`python tests/slurm/cluster.py DIRECTORY start|stop` does by hand what the tests do.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
NODES = ("n1", "n2", "n3")
WAIT = 60.0  # seconds for a daemon to come up, or a node to change its state

CONF = """\
ClusterName=exptui
SlurmctldHost={host}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool-%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=00:00:00
SlurmdTimeout={slurmd_timeout}
SlurmctldTimeout=10
MessageTimeout=5
TCPTimeout=1
InactiveLimit=0
KillWait=5
MinJobAge={min_job_age}
FirstJobId={first_job}
MaxJobId={max_job}
ReturnToService=2
MaxArraySize=2001
MaxJobCount=20000
DebugFlags=NO_CONF_HASH
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=short Nodes={names} MaxTime=1 State=UP PriorityTier=1
PartitionName=urgent Nodes={names} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> list[str]:
    """The programs of Slurm that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


class Cluster:
    """Started by `start`, ended with all its jobs by `stop`; everything of it lies in one directory."""

    def __init__(self, at: Path, **settings: int) -> None:
        self.at = at.resolve()
        self.settings = {
            "slurmd_timeout": 10,
            "min_job_age": 300,
            "first_job": 1,
            "max_job": 60_000,
            **settings,
        }
        self.environ = {"SLURM_CONF": str(self.at / "slurm.conf"), "PATH": _path()}

    def start(self) -> None:
        """Bring it up; returns when all nodes are idle."""
        self._write()
        key = self.at / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self._munge()
        self.controller()
        for name in NODES:
            self.node(name)
        try:
            self.until(lambda: self.states() == dict.fromkeys(NODES, "idle"))
        except TimeoutError:
            self.stop()
            raise

    def _write(self) -> None:
        # Whoever may write above the key or the socket could put another there: munge looks.
        for name in ("", "state", *(f"spool-{node}" for node in NODES)):
            (self.at / name).mkdir(mode=0o755, parents=True, exist_ok=True)
            (self.at / name).chmod(0o755)
        host = socket.gethostname().split(".")[0]
        ports = _free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=1000 State=UNKNOWN"
            for name, port in zip(NODES, ports[1:], strict=True)
        )
        text = CONF.format(
            at=self.at,
            host=f"{host}(127.0.0.1)",
            port=ports[0],
            user=pwd.getpwuid(os.getuid()).pw_name,
            nodes=nodes,
            names=",".join(NODES),
            **self.settings,
        )
        (self.at / "slurm.conf").write_text(text)

    def _munge(self) -> None:
        at = self.at
        self._daemon(
            "munged",
            f"--socket={at}/munge.socket",
            f"--key-file={at}/munge.key",
            f"--pid-file={at}/munged.pid",
            f"--log-file={at}/munged.log",
            f"--seed-file={at}/munge.seed",
            "--force",
        )

    def controller(self) -> None:
        """Start slurmctld."""
        self._daemon("slurmctld")

    def node(self, name: str) -> None:
        """Start the slurmd of a node."""
        self._daemon("slurmd", "-N", name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal a daemon (slurmctld or a node), and wait for its end where that is what the signal means."""
        pid = self.pid(name)
        os.kill(pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.until(lambda: not Path(f"/proc/{pid}").exists())

    def mend(self) -> None:
        """As it was after `start`: every daemon there, every node idle, no job."""
        for name in ("slurmctld", *NODES):
            if not self.runs(name):
                self.controller() if name == "slurmctld" else self.node(name)
        self.until(lambda: bool(self.states()))
        self.call("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
        for name, state in self.states().items():
            if state.startswith(("drain", "down", "drng")):
                self.call("scontrol", "update", f"nodename={name}", "state=resume", check=False)
        self.until(lambda: self.states() == dict.fromkeys(NODES, "idle"))

    def runs(self, name: str) -> bool:
        """Whether a daemon is there."""
        try:
            return Path(f"/proc/{self.pid(name)}").exists()
        except (OSError, ValueError):
            return False

    def kill_job(self, job_id: str) -> None:
        """SIGKILL to all that works for a job, its keeper first, as when the power of its node fails."""
        keeper, mark = f"slurmstepd: [{job_id}.batch]".encode(), f"SLURM_JOB_ID={job_id}".encode()
        found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        keepers = [pid for pid in found if _read(pid, "cmdline").startswith(keeper)]
        members = [pid for pid in found if mark in _read(pid, "environ").split(b"\0")]
        for pid in (*keepers, *(pid for pid in members if pid not in keepers)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pid(self, name: str) -> int:
        """The number of a daemon's process."""
        return int((self.at / f"{name}.pid").read_text())

    def stop(self) -> None:
        """End every daemon and every process of every job."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.call("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
        for name in (*NODES, "slurmctld", "munged"):
            if self.runs(name):
                self.kill(name)
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                mark = f"SLURM_CONF={self.at}/slurm.conf".encode()
                if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(
                    b"\0"
                ):
                    os.kill(int(process.name), signal.SIGKILL)

    def call(self, *words: str, check: bool = True) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT,
        )
        if check and done.returncode:
            raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """The state of each node, as sinfo says it."""
        lines = self.call("sinfo", "--noheader", "-N", "-o", "%N %t", check=False).splitlines()
        return dict(line.split() for line in lines)

    def until(self, true: Callable[[], bool], seconds: float = WAIT) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still not so after {seconds:g} s; the logs are in {self.at}")
            time.sleep(0.1)

    def _daemon(self, program: str, *words: str) -> None:
        found = shutil.which(program, path=_path())
        assert found is not None  # `missing` was asked
        done = subprocess.run(
            [found, *words],
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT,
        )
        if done.returncode:
            raise OSError(f"{program} {' '.join(words)}: {done.stderr.strip()}")


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    cluster = Cluster(Path(sys.argv[1]))
    if sys.argv[2] == "start":
        cluster.start()
        print(f"export SLURM_CONF={cluster.environ['SLURM_CONF']}")
    else:
        cluster.stop()
