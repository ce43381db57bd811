"""Server processes: free ports, waiting until a port answers, and an end that does not depend on the server."""

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 for servers of this process, which refuse connections until a server listens on them.

    A socket stays bound to each for as long as this process runs. The system gives such a port to no connection, and
    to nobody who asks for any port, but to a server that asks for this one: both allow to reuse the address.
    """
    ports = []
    for _ in range(count):
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        ports.append(held.getsockname()[1])
        held.detach()
    return ports


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a process that any other may end; its output is added to `log`. Returns its id."""
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # A group of its own: an interrupt of the tests does not reach the server before they end it.
    return os.posix_spawnp(command[0], list(command), environment, file_actions=files, setpgroup=0)


def wait_for_port(port: int, pid: int, log: Path, seconds: float = 110) -> None:
    """Wait until a server accepts connections; fail with the end of its log if it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_running(pid):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"no server on port {port}: {log.read_text(errors='replace')[-2000:]}")


def is_running(pid: int) -> bool:
    """True while a process runs, whoever started it."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that another process has started stays there after its end, until that process asks for it.
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def end(pid: int, seconds: float = 0) -> None:
    """End a process: after SIGTERM if it ends within `seconds`, else by SIGKILL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM if seconds else signal.SIGKILL)
    deadline = time.monotonic() + (seconds or 10)
    while is_running(pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
        time.sleep(0.01)
