"""What a streamed chunk costs a gateway, beside nginx as a plain reverse proxy.

The same load goes through each in turn, for several rounds; reported is the user and system CPU of the
gateway's own processes, per chunk (F74). Needs nginx, Linux (/proc), and release builds:

    cargo build --release -p streamgate -p streamgate-tests
    python3 tests/bench/proxy.py
    python3 tests/bench/proxy.py idle    # memory per slow stream, with thousands of them at once
"""

import argparse
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 10
# A stream's finish and its end mark.
EVENTS_BESIDE = 2


@dataclass(frozen=True)
class Load:
    """Streams through a gateway; `pause` is the provider's, between chunks."""

    pause: str
    chunks: int
    connections: int
    streams: int


LOADS = {
    "paced": Load(pause="10ms", chunks=500, connections=100, streams=1),
    "burst": Load(pause="0s", chunks=1000, connections=32, streams=30),
    "small": Load(pause="0s", chunks=1, connections=32, streams=300),
}

# Streams that say something now and then, as many as the limit of descriptors allows: each costs a
# gateway two.
IDLE = "idle"
IDLE_PAUSE = "2s"
IDLE_CHUNKS = 8
# When all of them are under way, and none is over.
IDLE_SETTLED_SECONDS = 8
IDLE_STREAMS_MAX = 10_000
DESCRIPTORS_SPARE = 500

NGINX_CONF = """
worker_processes {threads};
worker_rlimit_nofile {descriptors};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {descriptors}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

STREAMGATE_TOML = """
[providers.fake]
protocol = "openai"
base_url = "http://127.0.0.1:{provider}/v1"

[models.fake-1]
targets = ["fake/fake-1"]
"""


def main() -> None:
    arguments = parse_arguments()
    if IDLE in arguments.loads:
        arguments.loads.remove(IDLE)
        measure_memory(arguments)
    if not arguments.loads:
        return
    print(f"{'load':8}{'gateway':12}{'us/chunk':>10}{'user':>8}{'system':>8}{'ratio':>8}   rounds")
    for name in arguments.loads:
        load = LOADS[name]
        costs = measure(load, arguments)
        base = statistics.median(cost.us for cost in costs["nginx"])
        for gateway, rounds in costs.items():
            middle = sorted(rounds, key=lambda cost: cost.us)[len(rounds) // 2]
            each = " ".join(f"{cost.us:.2f}" for cost in rounds)
            print(
                f"{name:8}{gateway:12}{middle.us:10.2f}{middle.user_us:8.2f}{middle.system_us:8.2f}"
                f"{middle.us / base:8.2f}   {each}",
                flush=True,
            )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=" or ".join([*LOADS, IDLE]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--target", type=Path, default=target_folder(), help="Cargo's target folder")
    parser.add_argument("--profile", default="release")
    parser.add_argument("--streamgate", type=Path, help="another build of the gateway")
    parser.add_argument("--peer", default="nginx", help="nginx's program")
    arguments = parser.parse_args()
    arguments.loads = arguments.loads or list(LOADS)
    arguments.bin = arguments.target / arguments.profile
    arguments.streamgate = arguments.streamgate or arguments.bin / "streamgate"
    if not shutil.which(arguments.peer):
        sys.exit(f"{arguments.peer} is not there: apt-get install nginx-light, or name it with --peer")
    for program in (arguments.streamgate, arguments.bin / "fake-provider", arguments.bin / "load-client"):
        if not program.exists():
            sys.exit(f"{program} is not there: cargo build --release -p streamgate -p streamgate-tests")
    return arguments


def target_folder() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


@dataclass(frozen=True)
class Cost:
    """CPU per chunk, in microseconds."""

    user_us: float
    system_us: float

    @property
    def us(self) -> float:
        return self.user_us + self.system_us


def measure(load: Load, arguments: argparse.Namespace) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {"nginx": [], "streamgate": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = free_port()
        stack.enter_context(running(provider_command(load, provider, arguments), provider, folder))
        ports = {gateway: free_port() for gateway in costs}
        processes = {
            gateway: stack.enter_context(
                running(command(gateway, ports[gateway], provider, folder, arguments), ports[gateway], folder)
            )
            for gateway in costs
        }
        for gateway in costs:
            run_load(load, ports[gateway], arguments)  # warms connections and caches
        for _ in range(arguments.rounds):
            for gateway, rounds in costs.items():
                rounds.append(cost(load, ports[gateway], processes[gateway].pid, arguments))
    return costs


def measure_memory(arguments: argparse.Namespace) -> None:
    """Tells what each stream of thousands adds to a gateway's own memory."""
    descriptors = raise_descriptors()
    streams = min(IDLE_STREAMS_MAX, (descriptors - DESCRIPTORS_SPARE) // 2)
    load = Load(pause=IDLE_PAUSE, chunks=IDLE_CHUNKS, connections=streams, streams=1)
    print(f"{'load':8}{'gateway':12}{'streams':>10}{'KiB each':>10}")
    for gateway in ["nginx", "streamgate"]:
        kib = memory(load, gateway, arguments)
        print(f"{IDLE:8}{gateway:12}{streams:10}{kib:10.1f}", flush=True)


def memory(load: Load, gateway: str, arguments: argparse.Namespace) -> float:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider, port = free_port(), free_port()
        stack.enter_context(running(provider_command(load, provider, arguments), provider, folder))
        started = running(command(gateway, port, provider, folder, arguments), port, folder)
        process = stack.enter_context(started)
        before = resident_kib(process.pid)
        client = subprocess.Popen(client_command(load, port, arguments), stdout=subprocess.PIPE)
        time.sleep(IDLE_SETTLED_SECONDS)
        during = resident_kib(process.pid)
        check_events(load, json.loads(client.communicate()[0]))
        return (during - before) / load.connections


def raise_descriptors() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cost(load: Load, port: int, pid: int, arguments: argparse.Namespace) -> Cost:
    user_before, system_before = cpu_ticks(pid)
    chunks = run_load(load, port, arguments)
    user, system = cpu_ticks(pid)
    return Cost((user - user_before) * TICK_US / chunks, (system - system_before) * TICK_US / chunks)


def run_load(load: Load, port: int, arguments: argparse.Namespace) -> int:
    command = client_command(load, port, arguments)
    check_events(load, json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    return load.connections * load.streams * load.chunks


def client_command(load: Load, port: int, arguments: argparse.Namespace) -> list[str]:
    command = [arguments.bin / "load-client", f"127.0.0.1:{port}"]
    return command + ["--connections", str(load.connections), "--streams", str(load.streams)]


def check_events(load: Load, got: dict) -> None:
    expected = load.connections * load.streams * (load.chunks + EVENTS_BESIDE)
    if got["events"] != expected:
        sys.exit(f"{got['events']} events came through instead of {expected}")


def provider_command(load: Load, port: int, arguments: argparse.Namespace) -> list[str]:
    flags = ["--paced", load.pause, "--chunks", str(load.chunks), "--size", "200"]
    return [arguments.bin / "fake-provider", "--listen", f"127.0.0.1:{port}", *flags]


def command(
    gateway: str, port: int, provider: int, folder: Path, arguments: argparse.Namespace
) -> list[str]:
    if gateway == "nginx":
        conf = folder / "nginx.conf"
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        values = {"threads": arguments.threads, "descriptors": descriptors}
        text = NGINX_CONF.format(folder=folder, provider=provider, port=port, **values)
        conf.write_text(text)
        return [arguments.peer, "-p", folder, "-c", conf]
    config = folder / "streamgate.toml"
    config.write_text(STREAMGATE_TOML.format(provider=provider))
    flags = ["--listen", f"127.0.0.1:{port}", "--threads", str(arguments.threads)]
    return [arguments.streamgate, "serve", "--config", config, *flags]


@contextmanager
def running(command: list[str], port: int, folder: Path):
    """The process, once it listens, until the end of the block."""
    log = folder / f"{port}.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_until_it_listens(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_it_listens(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_ticks(pid: int) -> tuple[int, int]:
    """User and system time of a process and its living children."""
    user = system = 0
    for process in [pid, *children(pid)]:
        # The command, in parentheses, may hold spaces.
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        user += int(fields[11])
        system += int(fields[12])
    return user, system


def resident_kib(pid: int) -> int:
    """Memory of a process and its living children; what they share counts once."""
    kib = 0
    for process in [pid, *children(pid)]:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        kib += int(re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)[1])
    return kib


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in re.findall(r"\d+", task.read_text())]


if __name__ == "__main__":
    main()
