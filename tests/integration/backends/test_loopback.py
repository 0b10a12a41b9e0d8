"""Nothing that a command starts listens beyond loopback unless it is told to."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from components.tracking.client import connect
from components.tracking.params import TrackingParams
from tests.e2e.conftest import Checkout
from tests.services.process import free_ports, listens
from tests.services.stack import Stack

pytestmark = [pytest.mark.services, pytest.mark.slow]

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def listening(process: psutil.Process) -> set[str]:
    """Addresses on which the process and everything below it accept connections."""
    found = set()
    for each in [process, *process.children(recursive=True)]:
        found |= {c.laddr.ip for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.parametrize("command", [("ui",), ("ui", "prefect"), ("ui", "mlflow"), ("serve",)])
def test_a_command_that_serves_binds_to_loopback(command: tuple[str, ...], make_small: Callable[..., Checkout]) -> None:
    checkout = make_small("serving")
    (checkout.root / ".poly-epo").mkdir(exist_ok=True)
    connect(TrackingParams(uri=f"sqlite:///{checkout.root}/.poly-epo/mlflow.db"))
    port = free_ports(1)[0]
    server = checkout.start("poly-epo", *command, "--port", str(port))
    try:
        deadline = time.monotonic() + 240
        while not listens(port):
            assert server.poll() is None, (checkout.root / "killed.log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        found = listening(psutil.Process(server.pid))
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
    assert found
    assert found <= set(LOOPBACK)


def test_the_servers_of_a_team_are_no_further_away(stack: Stack) -> None:
    own = psutil.Process()
    found = listening(own)
    assert found
    assert found <= set(LOOPBACK)
