"""The services start, answer, stop, and never outlive who holds them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SERVICES = Path(__file__).with_name("services.py")
SECONDS = 60.0


def call(*arguments: str) -> subprocess.CompletedProcess:
    """Runs a verb to its end."""
    return subprocess.run([sys.executable, str(SERVICES), *arguments], capture_output=True, text=True, check=False)


def answers(env: str) -> bool:
    """True when the broker that `env` names listens."""
    host, port = env.strip().split("=")[1].rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def wait_until(holds) -> bool:
    """Waits, within bounds, until `holds()`."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


class Services(unittest.TestCase):
    """Each test has a folder of its own."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(holder.cleanup)
        self.folder = holder.name
        self.addCleanup(call, "stop", "--dir", self.folder)

    def start(self, *more: str) -> str:
        started = call("start", "kafka", "--dir", self.folder, *more)
        self.assertEqual(started.returncode, 0, started.stderr)
        return started.stdout

    def test_start_env_stop(self) -> None:
        env = self.start()
        self.assertTrue(answers(env))
        self.assertEqual(call("env", "--dir", self.folder).stdout, env)
        again = call("start", "kafka", "--dir", self.folder)
        self.assertIn("already run", again.stderr)
        self.assertEqual(call("stop", "--dir", self.folder).returncode, 0)
        self.assertFalse(answers(env))
        self.assertEqual(call("env", "--dir", self.folder).returncode, 1)
        self.assertTrue((Path(self.folder) / "kafka" / "kafka.log").exists())

    def test_a_killed_holder_takes_its_services_along(self) -> None:
        env = self.start()
        os.kill(int((Path(self.folder) / "lock").read_text(encoding="ascii")), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not answers(env)))

    def test_services_end_with_their_owner(self) -> None:
        with subprocess.Popen(["sleep", "600"]) as owner:
            env = self.start("--owner", str(owner.pid))
            self.assertTrue(answers(env))
            owner.kill()
        self.assertTrue(wait_until(lambda: not answers(env)))

    def test_run_ends_with_its_input(self) -> None:
        command = [sys.executable, str(SERVICES), "run", "kafka", "--dir", self.folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            env = run.stdout.readline().removeprefix("export ")
            self.assertEqual(run.stdout.readline(), "ready\n")
            self.assertTrue(answers(env))
            run.stdin.close()
            self.assertEqual(run.wait(SECONDS), 0)
        self.assertFalse(answers(env))


if __name__ == "__main__":
    unittest.main()
