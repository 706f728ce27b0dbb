"""PostgreSQL 15 from Debian's package. Gives POSTGRES_URL, of a database that anyone on loopback may use.

A test that kills or configures its server makes a `Server` itself.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import POLL_SECONDS, Failed, Running, free_port, run_to_end, spawn, tail

BIN = Path("/usr/lib/postgresql/15/bin")
START_SECONDS = 30.0


def as_user() -> list[str]:
    """What stands before a command so that it does not run as root, which Postgres refuses to."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "KILL"]


class Server:
    """A server on a loopback port, without a Unix socket, which can be killed and started again."""

    def __init__(self, folder: Path, *settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "postgres.log"
        self.port = free_port()
        self.settings = settings
        # the folders of a test may be closed to the user the server runs as
        self.home = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.data = self.home / "data"
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.home, user.pw_uid, user.pw_gid)
        made = [str(BIN / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        run_to_end([*as_user(), *made, "--locale=C.UTF-8"], self.log, START_SECONDS)
        self.start()

    @property
    def url(self) -> str:
        """Where it is, for the sink."""
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts it; returns once it takes statements."""
        fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={self.port}", "fsync=off"]
        command = [*as_user(), str(BIN / "postgres"), "-D", str(self.data)]
        for setting in (*fixed, *self.settings):
            command += ["-c", setting]
        self.process = spawn(command, self.log)
        deadline = time.monotonic() + START_SECONDS
        while self.psql("SELECT 1", check=False) != "1":
            if self.process.poll() is not None and "is still in use" in tail(self.log, 3):
                # backends of a server that was killed hold its memory for a moment
                time.sleep(POLL_SECONDS)
                self.process = spawn(command, self.log)
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"postgres did not start\n{tail(self.log)}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Ends it at once, as a crash does; its backends notice and end too."""
        self.process.kill()
        self.process.wait()

    def psql(self, statement: str, check: bool = True) -> str:
        """What psql prints for a statement: a row a line, `|` between columns, NULL as `NULL`."""
        command = ["psql", "-X", "-A", "-t", "-q", "-P", "null=NULL", "-v", "ON_ERROR_STOP=1", "-c", statement]
        env = os.environ | {"PGTZ": "UTC"}
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "postgres"]
        done = subprocess.run([*command, *address], capture_output=True, text=True, check=False, timeout=30, env=env)
        if check and done.returncode != 0:
            raise Failed(f"psql: {done.stderr}")
        return done.stdout.strip()


def certificate(server: Server) -> None:
    """An authority in ca.pem, and a certificate of the server made by it."""
    home, data = server.home, server.data
    made = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    ]
    (home / "names").write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\nbasicConstraints = CA:FALSE\n")
    for command in made:
        subprocess.run(["openssl", *command.split()], cwd=home, check=True, capture_output=True)
    owner = data.stat()
    for name in ("server.key", "server.crt"):
        there = (home / name).rename(data / name)
        there.chmod(0o600)
        os.chown(there, owner.st_uid, owner.st_gid)


def start(folder: Path) -> Running:
    """One server."""
    server = Server(folder)
    return Running([server.process], {"POSTGRES_URL": server.url})
