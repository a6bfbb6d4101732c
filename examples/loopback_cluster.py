"""KerasTuner's chief and workers as processes of this machine.

Every process runs the same command and learns its part from KerasTuner's environment
variables. None outlives the supervisor: they are stopped when `supervise` returns or
raises, and on Linux the kernel kills them if the supervisor itself is killed.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

CHIEF = "chief"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def supervise(command, workers, logs, report, restarts=3, patience=60.0):
    """Runs a command as one chief and some workers until the chief ends.

    A worker that died is started again under its name: the chief gives it the same
    trial again, and waits for that trial for ever if nobody asks. All processes listen
    and talk on the loopback address only.

    Args:
        command: list of strings, what every process runs.
        workers: number of workers.
        logs: folder for the output of each process.
        report: function without arguments, called about twice a second.
        restarts: how often each worker may be started again.
        patience: seconds that the chief has to end after the last worker has. It looks
            every 20 seconds whether it may.

    Returns:
        `None` if the chief ended by itself and well, else what went wrong.
    """
    logs.mkdir(parents=True, exist_ok=True)
    names = [f"worker-{i}" for i in range(workers)]
    left = dict.fromkeys(names, restarts)
    deadline = None
    with _Processes(command, logs) as processes:
        chief = processes.start(CHIEF)
        running = {name: processes.start(name) for name in names}
        while chief.poll() is None:
            report()
            for name, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                if process.returncode == 0:
                    continue
                say(f"{name} {_how_it_ended(process)}, see {processes.log(name)}")
                if left[name] > 0:
                    left[name] -= 1
                    running[name] = processes.start(name)
                else:
                    say(f"{name} is given up after {restarts} restarts")
            if not running and deadline is None:
                deadline = time.monotonic() + patience
            if deadline is not None and time.monotonic() > deadline:
                return (
                    f"the chief did not end within {patience:g} seconds of the last "
                    "worker; a trial may be left unfinished"
                )
            time.sleep(0.5)
        report()
        if chief.returncode != 0:
            return f"the chief {_how_it_ended(chief)}: {processes.last_line(CHIEF)}"
    return None


def say(line):
    print(line, flush=True)


def _how_it_ended(process):
    if process.returncode < 0:
        return f"was killed by {signal.Signals(-process.returncode).name}"
    return f"ended with status {process.returncode}"


class _Processes:
    """Processes that end, workers first, with the `with` block or the supervisor."""

    def __init__(self, command, logs):
        self.command = command
        self.logs = logs
        self.port = _free_port()
        self.started = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The chief last, so that it has saved what a worker sent it."""
        chief = self.started.pop(CHIEF, None)
        _stop(self.started.values())
        if chief is not None:
            if chief.poll() is None:
                time.sleep(1)
            _stop([chief])

    def log(self, name):
        return self.logs / f"{name}.log"

    def last_line(self, name):
        lines = self.log(name).read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no output")

    def start(self, name):
        if name in self.started:  # dead, but what it had started may be not
            _signal_group(self.started[name], signal.SIGKILL)
        loopback = "127.0.0.1"
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": loopback,
            "KERASTUNER_ORACLE_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            # gRPC would go through an `http_proxy` even to the loopback address.
            "no_grpc_proxy": loopback,
        }
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C then reaches the supervisor alone, which stops in order.
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        self.started[name] = process
        say(f"{name} started (process {process.pid})")
        return process


def _die_with(supervisor):
    """What a child does before it runs the command; there is no way but on Linux."""
    if not sys.platform.startswith("linux"):
        return None

    def set_death_signal():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # gone before the line above
            os._exit(1)

    return set_death_signal


def _stop(processes, grace=10.0):
    """Ends the processes with all that they have started."""
    deadline = time.monotonic() + grace
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process, number):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
