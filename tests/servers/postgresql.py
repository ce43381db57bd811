"""PostgreSQL servers, from the programs of the system or those that the package pgserver carries."""

import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from servers.processes import end, free_ports, start, wait_for_port

TEMPLATES = Path(__file__).parents[2] / ".data" / "postgresql"
USER = "arrowstream"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "50",
    "autovacuum": "off",
}
# PostgreSQL refuses to run as root: this becomes another user, then the program.
AS_USER = "import os, sys; os.setgid({0.pw_gid}); os.setuid({0.pw_uid}); os.execv(sys.argv[1], sys.argv[1:])"


@cache
def programs() -> Path | None:
    """The folder of postgres and initdb; None without them."""
    places = [Path(path).resolve().parent for path in (shutil.which("postgres"),) if path]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (package := importlib.util.find_spec("pgserver")) is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((place for place in places if (place / "initdb").exists()), None)


def is_installed() -> bool:
    """True if this machine has PostgreSQL."""
    return programs() is not None


def _as_user() -> list[str]:
    """What comes before a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    return [sys.executable, "-c", AS_USER.format(pwd.getpwnam("nobody"))]


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def _initialise(folder: Path) -> None:
    """Make the files of a new server; most of the time is saved by a copy of earlier ones."""
    found = programs()
    assert found is not None
    version = subprocess.run([found / "postgres", "--version"], capture_output=True, text=True, check=True)
    template = TEMPLATES / f"{version.stdout.split()[2]}-template"
    folder.mkdir()
    if not template.exists():
        _own(folder)
        options = ["-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        subprocess.run(
            [*_as_user(), str(found / "initdb"), "-D", str(folder), *options],
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"]},
            cwd="/",
        )
        part = template.with_suffix(f".{os.getpid()}")
        shutil.copytree(folder, part)
        try:
            part.rename(template)
        except OSError:  # another session was faster
            shutil.rmtree(part)
    else:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        folder.chmod(0o700)
        _own(folder)


@dataclass
class PostgresqlServer:
    """One server."""

    folder: str
    port: int
    pid: int = 0
    seconds: float = 0
    """How long the start took."""

    @staticmethod
    def new(folder: Path) -> "PostgresqlServer":
        """Start a server in a folder that is made."""
        begin = time.monotonic()
        _initialise(folder)
        [port] = free_ports(1)
        server = PostgresqlServer(str(folder), port)
        found = programs()
        assert found is not None
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [*_as_user(), str(found / "postgres"), "-D", str(folder), "-p", str(port), *settings]
        log = folder.with_suffix(".txt")
        server.pid = start(command, {"PATH": os.environ["PATH"]}, log)
        wait_for_port(port, server.pid, log)
        ready = [str(found / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode != 0:  # it takes connections before it is ready
            time.sleep(0.02)
        server.seconds = time.monotonic() - begin
        return server

    def uri(self, schema: str) -> str:
        """The URI of the server, where names without a schema mean this one."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres?options=-csearch_path%3D{schema}"

    def stop(self) -> None:
        """End the server at once."""
        end(self.pid)

    def save(self, path: Path) -> None:
        """Write down where the server runs, for other processes."""
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def saved(path: Path) -> "PostgresqlServer":
        """A server that another process has started."""
        return PostgresqlServer(**json.loads(path.read_text()))
