#!/usr/bin/env python3
"""Starts the real services that tests talk to, and stops them.

    services.py start kafka [--dir D] [--owner PID]   in the background; prints their variables
    services.py env [--dir D]                         prints them again: eval "$(services.py env)"
    services.py stop [--dir D]                        stops them
    services.py run kafka [--dir D]                   until standard input closes or SIGTERM comes

A kind of service is one file in kinds/ with `start(folder) -> Running`. Every service runs in a
folder of its own on free loopback ports, and dies with the process that holds it: `run` ends with
its standard input, `start --owner` with that process. Logs stay in the folder. In Python:

    with services.running(["kafka"]) as env: ...
"""

import argparse
import contextlib
import fcntl
import importlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import POLL_SECONDS, Failed, Running, stop, tail  # noqa: E402

START_SECONDS = 420.0


def main(arguments: list[str]) -> int:
    """Runs one verb; returns the exit code."""
    asked = parse(arguments)
    try:
        return asked.verb(asked)
    except Failed as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """The verbs and their options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, verb in (("start", start_verb), ("run", run_verb), ("stop", stop_verb), ("env", env_verb)):
        one = verbs.add_parser(name)
        one.set_defaults(verb=verb)
        one.add_argument("--dir", type=Path, default=None if name == "run" else HERE / "run")
        if name in ("start", "run"):
            one.add_argument("kinds", nargs="+", choices=kinds())
            one.add_argument("--owner", type=int, help="stop when this process ends")
            one.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def kinds() -> list[str]:
    """Names of the services there are."""
    return sorted(file.stem for file in (HERE / "kinds").glob("*.py"))


@contextlib.contextmanager
def running(names: list[str], folder: Path | None = None) -> Iterator[dict[str, str]]:
    """Runs the services for the length of a `with`; gives their variables."""
    with contextlib.ExitStack() as cleanup:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="tidemill-services-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        services = cleanup.enter_context(started(names, folder))
        yield {name: value for service in services for name, value in service.env.items()}


@contextlib.contextmanager
def started(names: list[str], folder: Path) -> Iterator[list[Running]]:
    """Starts the services, writes the env file, and stops them at the end."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    services: list[Running] = []
    with locked(folder):
        try:
            for name in dict.fromkeys(names):
                home = folder / name
                shutil.rmtree(home, ignore_errors=True)
                home.mkdir()
                try:
                    services.append(importlib.import_module(f"kinds.{name}").start(home))
                except Failed as failed:
                    raise Failed(f"{name}: {failed}") from failed
            write_env(folder, services)
            yield services
        finally:
            env_file(folder).unlink(missing_ok=True)
            for service in reversed(services):
                for process in service.processes:
                    stop(process)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder; the lock file carries our process id for `stop`."""
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise Failed(f"services already run in {folder}: stop them first, or give another --dir") from held
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def env_file(folder: Path) -> Path:
    """The file whose presence says that all services answer."""
    return folder / "env"


def write_env(folder: Path, services: list[Running]) -> None:
    """Writes the variables in one step, in a form that a shell can read."""
    fresh = folder / "env.new"
    lines = [f"export {name}={value}\n" for service in services for name, value in service.env.items()]
    fresh.write_text("".join(lines), encoding="ascii")
    fresh.rename(env_file(folder))


def run_verb(asked: argparse.Namespace) -> int:
    """Holds the services until there is a reason to stop."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as cleanup:
        folder = asked.dir or Path(tempfile.mkdtemp(prefix="tidemill-services-"))
        services = cleanup.enter_context(started(asked.kinds, folder))
        print(env_file(folder).read_text(encoding="ascii"), end="", flush=True)
        print("ready", flush=True)
        hold(services, asked)
    if asked.dir is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def hold(services: list[Running], asked: argparse.Namespace) -> None:
    """Waits for the end of standard input, of the owner, or of a service (which is a failure)."""
    with selectors.DefaultSelector() as events:
        if not asked.detached:
            events.register(sys.stdin, selectors.EVENT_READ, "input")
        if asked.owner is not None:
            try:
                events.register(os.pidfd_open(asked.owner), selectors.EVENT_READ, "owner")
            except ProcessLookupError:
                return
        for process in (process for service in services for process in service.processes):
            events.register(os.pidfd_open(process.pid), selectors.EVENT_READ, process)
        while True:
            for key, _ in events.select():
                if key.data == "input" and os.read(0, 4096):
                    continue
                if key.data in ("input", "owner"):
                    return
                raise Failed(f"a service ended by itself: {key.data.args[0]} (logs are beside it)")


def start_verb(asked: argparse.Namespace) -> int:
    """Starts a holder in the background and waits until it says that all services answer."""
    folder = asked.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):  # refuses early when services run there
        env_file(folder).unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "services.py"), "run", *asked.kinds, "--dir", str(folder), "--detached"]
    if asked.owner is not None:
        command += ["--owner", str(asked.owner)]
    log = folder / "holder.log"
    with log.open("wb") as out:
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while not env_file(folder).exists():
        if holder.poll() is not None:
            raise Failed(f"the services did not start\n{tail(log, 60)}")
        if time.monotonic() > deadline:
            holder.terminate()
            raise Failed(f"the services were not ready after {START_SECONDS:g} s\n{tail(log, 60)}")
        time.sleep(POLL_SECONDS)
    return env_verb(asked)


def env_verb(asked: argparse.Namespace) -> int:
    """Prints the variables of the running services."""
    file = env_file(asked.dir)
    if not file.exists():
        raise Failed(f"no services run in {asked.dir}")
    print(file.read_text(encoding="ascii"), end="")
    return 0


def stop_verb(asked: argparse.Namespace) -> int:
    """Ends the holder, which ends its services, and waits for both."""
    lock = asked.dir / "lock"
    if not lock.exists():
        return 0
    deadline = time.monotonic() + 30.0
    signalled = False
    while time.monotonic() < deadline:
        with contextlib.suppress(Failed), locked(asked.dir):
            return 0
        if not signalled and (holder := lock.read_text(encoding="ascii")):
            os.kill(int(holder), signal.SIGTERM)
            signalled = True
        time.sleep(POLL_SECONDS)
    raise Failed(f"the services in {asked.dir} did not stop within 30 s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
