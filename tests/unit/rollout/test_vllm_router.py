"""Two servers behind a router: completions through it, policies past it, and every server must still hold its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from components.rollout.engine import get_engine
from components.rollout.params import RolloutParams, VllmParams
from components.rollout.vllm_engine import VllmEngine
from tests.tiny import problems
from tests.unit.rollout.fake_vllm import fake_vllm

PROMPTS = [f"{number}+(1)=" for number in range(8)]
GROUP = 4


@contextmanager
def router(urls: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A proxy that sends each completion request to the next server; its address, and the paths it was asked for."""
    paths: list[str] = []
    turns = itertools.cycle(urls)
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            with guard:
                paths.append(self.path)
                url = next(turns)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parts = urlsplit(url)
            connection = HTTPConnection(str(parts.hostname), parts.port)
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def engine(tmp_path: Path, policy: Path, address: str, urls: list[str]) -> VllmEngine:
    vllm = {"urls": urls, "router": address, "max_in_flight": GROUP}
    params = RolloutParams.model_validate({"engine": "vllm", "max_new_tokens": 6, "vllm": vllm})
    made = get_engine(params, state=tmp_path / "state", owner="arm")
    assert isinstance(made, VllmEngine)
    made.load_policy(policy, 3)
    return made


def test_completions_go_through_the_router_and_the_policy_into_each_server(tmp_path: Path, tiny_policy: Path) -> None:
    with fake_vllm() as (one, first), fake_vllm() as (two, second), router([first, second]) as (address, paths):
        table = engine(tmp_path, tiny_policy, address, [first, second]).sample(
            problems(PROMPTS), group_size=GROUP, seed=1
        )
    assert table["sample_index"].to_pylist() == list(range(GROUP)) * len(PROMPTS)
    assert paths == ["/v1/completions"] * len(PROMPTS)
    assert len(one.requests) == len(two.requests) == len(PROMPTS) / 2
    assert one.loaded == two.loaded == [str(tiny_policy)]
    assert one.label.startswith("3-")
    assert two.label.startswith("3-")
    assert one.label != two.label


@pytest.mark.parametrize("fault", ["restart", "stolen"])
def test_a_group_counts_only_when_every_server_still_holds_the_policy(
    fault: str, tmp_path: Path, tiny_policy: Path
) -> None:
    with fake_vllm() as (one, first), fake_vllm() as (two, second), router([first, second]) as (address, paths):
        two.faults = ["", fault]
        made = engine(tmp_path, tiny_policy, address, [first, second])
        table = made.sample(problems(PROMPTS), group_size=GROUP, seed=1)
    assert table["sample_index"].to_pylist() == list(range(GROUP)) * len(PROMPTS)
    assert made.stats is not None
    assert made.stats.repeated_requests >= 1
    assert len(paths) == len(PROMPTS) + made.stats.repeated_requests
    assert one.loaded == [str(tiny_policy)]
    assert two.loaded == [str(tiny_policy)] * 2


def test_a_router_needs_to_know_its_servers() -> None:
    with pytest.raises(ValueError, match="a router needs urls"):
        VllmParams(router="http://127.0.0.1:8000")
    with pytest.raises(ValueError, match="is not on this machine"):
        VllmParams(router="http://10.0.0.1:8000", urls=["http://127.0.0.1:8100"])
    with pytest.raises(ValueError, match="cannot tell one server's adapters"):
        VllmParams(router="http://127.0.0.1:8000", urls=["http://127.0.0.1:8100"], weights="adapter")
