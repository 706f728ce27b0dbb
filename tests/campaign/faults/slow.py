"""A sink that gets much slower than its rows come, and fast again: the lag grows, the memory does not, and it catches up.

{"slow": 20}      Redis behind a line that carries so many times less than before
"""

import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

from harness import free_port
from life import Failed
from proxy import Proxy
from scene import Scene

KINDS = ("slow",)
SECONDS_MAX = 30.0
USUAL_SECONDS = 3.0
SLOW_SECONDS = 20.0
GROWTH_MAX = 96 << 20
SQL = """
SET name = 'slow-{times}';
SET epoch_time_target = '1s';
SET trigger = 'asap';
CREATE TABLE events (id BIGINT, user STRING, amount DOUBLE)
    WITH (connector = 'generator', rows_per_second = '2000', users = '500');
CREATE TABLE rows WITH (connector = 'redis', url = 'redis://127.0.0.1:{port}', key = 'slow:{{id}}', retry_timeout = '60s');
INSERT INTO rows SELECT id, user, amount FROM events;
"""


def run(scene: Scene, _kind: str, times: int) -> str:
    """Three times: usual, slow, usual."""
    server = urlparse(scene.services.settings("redis")["REDIS_URL"])
    with Proxy(server.port) as proxy:
        (scene.folder / "loop.sql").write_text(SQL.format(port=proxy.port, times=times), encoding="utf-8")
        port = free_port()
        command = [part if part != "off" else f"127.0.0.1:{port}" for part in scene.program.command]
        command[command.index("--progress") + 1] = "off"
        command += scene.program.settings
        with scene.program.errors.open("wb") as errors:
            life = subprocess.Popen(command, cwd=scene.folder, stderr=errors, stdin=subprocess.DEVNULL)
            try:
                return passage(scene, life, proxy, port, times)
            finally:
                life.kill()
                life.wait()


def passage(scene: Scene, life: subprocess.Popen, proxy: Proxy, port: int, times: int) -> str:
    """Watches a running program while its line gets slow; says what it saw."""
    wait(scene, life, "the first rows", lambda: metric(port, "tidemill_epochs_total") > 5)
    begun = proxy.carried
    time.sleep(USUAL_SECONDS)
    usual_rate = (proxy.carried - begun) / USUAL_SECONDS
    usual_lag, usual_memory = metric(port, "tidemill_source_lag_records"), resident(life.pid)
    proxy.bytes_per_second = int(usual_rate / times)
    most = usual_memory
    deadline = time.monotonic() + SLOW_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.2)
        most = max(most, resident(life.pid))
    slow_lag = metric(port, "tidemill_source_lag_records")
    proxy.bytes_per_second = 0
    wait(scene, life, "the rows of the slow time", lambda: metric(port, "tidemill_source_lag_records") < 2000)
    most = max(most, resident(life.pid))
    life.send_signal(signal.SIGTERM)
    if (code := life.wait(SECONDS_MAX)) != 0:
        raise Failed(f"ended with code {code}\n{scene.program.told()}")
    lags = f"lag {usual_lag:.0f}, then {slow_lag:.0f}, then caught up"
    if slow_lag < usual_lag + SLOW_SECONDS * 500:
        raise Failed(f"the sink was not slow: {lags}")
    if most - usual_memory > GROWTH_MAX:
        raise Failed(f"memory grew from {usual_memory >> 20} to {most >> 20} MiB")
    return f"{lags}; memory {usual_memory >> 20} MiB, at most {most >> 20} MiB"


def wait(scene: Scene, life: subprocess.Popen, what: str, condition) -> None:
    """Until a condition holds."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        if life.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"never came to {what} (code {life.returncode})\n{scene.program.told()}")
        time.sleep(0.1)


def metric(port: int, name: str) -> float:
    """The sum over the labels; 0 while it cannot be asked."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def resident(process: int) -> int:
    """Memory of a process that is its own, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise Failed("the system does not say how much memory is used")
