"""Starts real processes once for all tests: two demo backends, and two gateways over them.

`gateway` judges with the real minds and asks for no key; `keyed` asks for a key.
"""

import hashlib
import os
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from openai import AsyncOpenAI, OpenAI

MOM = os.environ["MOM"]

# SIGTERM would otherwise end pytest without ending what it started.
signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
KEY = "mom-key-for-these-tests"

CONFIG = """
[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{admin}"
{minds}
[backends.cheap]
base_url = "http://127.0.0.1:{cheap}/v1"
price = {{ input = 0.1, output = 0.4 }}
[backends.premium]
base_url = "http://127.0.0.1:{premium}/v1"
model = "premium-2026"
price = {{ input = 3, output = 12 }}
[[routes]]
name = "all"
candidates = ["cheap", "premium"]
[virtual_models]
auto = "all"
"""

NO_MINDS = "".join(f"[minds.{role}]\nenabled = false\n" for role in ("brain", "jailbreak", "pii", "similarity")) + (
    '[guard]\njailbreak = { action = "off" }\npii = { action = "off" }\n'
)


def free_ports(count):
    """Ports that were free a moment ago; held together so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until_up(url, process, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} never answered:\n{log.read_text()}")


class Processes:
    """What was started here, and nothing else, is ended here."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def start(self, name, url, *arguments):
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen([MOM, *arguments], stdout=out, stderr=subprocess.STDOUT)
        self.running.append(process)
        wait_until_up(url, process, log)

    def end(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait(timeout=15)


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """The two gateways' base URLs."""
    folder = tmp_path_factory.mktemp("mom")
    processes = Processes(folder)
    cheap, premium, *ports = free_ports(6)
    try:
        for name, port in (("cheap", cheap), ("premium", premium)):
            listen = ("--listen", f"127.0.0.1:{port}", "--name", name)
            processes.start(name, f"http://127.0.0.1:{port}/health", "demo-backend", *listen)
        bases = {}
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        keys = f'[keys.tests]\nsha256 = "{digest}"\n'
        for name, minds, more in (("gateway", "", ""), ("keyed", NO_MINDS, keys)):
            public, admin = ports.pop(), ports.pop()
            config = folder / f"{name}.toml"
            text = CONFIG.format(public=public, admin=admin, cheap=cheap, premium=premium, minds=minds)
            config.write_text(text + more)
            processes.start(name, f"http://127.0.0.1:{admin}/readyz", "serve", "--config", str(config))
            bases[name] = f"http://127.0.0.1:{public}/v1"
        yield bases
    finally:
        processes.end()


@pytest.fixture
def client(bases):
    with OpenAI(base_url=bases["gateway"], api_key="any", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def async_client(bases):
    return AsyncOpenAI(base_url=bases["gateway"], api_key="any", max_retries=0, timeout=20)


@pytest.fixture
def keyed(bases):
    """Makes a client of the gateway that asks for a key."""
    return lambda key: OpenAI(base_url=bases["keyed"], api_key=key, max_retries=0, timeout=20)
