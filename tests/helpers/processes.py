"""Processes of this machine: where they listen, and whether they still run."""

import contextlib
import ipaddress
import os
import re
import signal
import socket
import time
from pathlib import Path

LISTENING = "0A"
"""State of a socket in `/proc/net/tcp`."""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def started(output):
    """Name and process number of each start that a supervisor told of, in order."""
    return [
        (name, int(pid))
        for name, pid in re.findall(r"^(\S+) started \(process (\d+)\)", output, re.M)
    ]


def is_running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")  # dead, not yet reaped


def listening_addresses(pid):
    """IPv4 and IPv6 addresses that a process of Linux accepts connections on."""
    sockets = {
        os.readlink(descriptor)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if descriptor.is_symlink()
    }
    addresses = set()
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        for row in map(str.split, rows):
            if row[3] == LISTENING and f"socket:[{row[9]}]" in sockets:
                number = bytes.fromhex(row[1].split(":")[0])
                # The kernel writes each word of four bytes as the machine has it.
                words = [number[i : i + 4][::-1] for i in range(0, len(number), 4)]
                address = ipaddress.ip_address(b"".join(words))
                mapped = getattr(address, "ipv4_mapped", None)
                addresses.add(str(mapped or address))
    return addresses


def left_behind(pids, seconds=10):
    """Those that still run after some time, which the kernel may need to kill them.

    They are then killed, so that a test that fails because of them leaves none.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(is_running, pids)):
        time.sleep(0.05)
    left = [pid for pid in pids if is_running(pid)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left
