"""Rollout servers beside a stage's container, on the real engine: a small program stands in for vLLM."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.runners.base import StageFailed, get_runner
from flows.runners.engine import ROOT_LABEL
from tests.integration.docker.conftest import docker

pytestmark = pytest.mark.services

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"

# Found before any installed vLLM, for the server works in the project's root.
SERVER = """\
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getenv('HOSTNAME')} {' '.join(sys.argv[1:])}".encode())

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

STAGE = """\
import os, sys, time, urllib.request

def ask(path=""):
    for _ in range(600):
        try:
            return urllib.request.urlopen(os.environ["POLY_EPO_ROLLOUT_URLS"] + path).read().decode()
        except OSError:
            if path:
                return ""
            time.sleep(0.1)
    sys.exit("no server answers")

print(ask())
ask("/die")
print(ask())
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_image: str) -> Path:
    document = yaml.safe_load(PARAMS.read_text())
    image = {"image": base_image}
    document["rollout"] |= {"engine": "vllm"}
    document["runner"] = {"network": "none", "cpu": image, "rollout": image, "rollout_stages": ["data"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    model = tmp_path / "workspace" / "base"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"hidden_size": 64, "num_attention_heads": 2}))
    package = tmp_path / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.fixture
def run(project: Path) -> Callable[[str], tuple[int, list[str]]]:
    def run(script: str, stage: str = "data") -> tuple[int, list[str]]:
        lines: list[str] = []
        variables = {"PATH": os.environ["PATH"], "DVC_STAGE": stage}
        code = get_runner("docker").run(
            [sys.executable, "-c", script], cwd=project, env=variables, on_line=lines.append, log=project / "log"
        )
        return code, lines

    return run


def containers(project: Path) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label={ROOT_LABEL}={project}").split()


@pytest.mark.parametrize("network", ["none", "host"])
def test_a_stage_that_samples_has_a_server_which_is_started_again_and_ends_with_it(
    project: Path, run: Callable[[str], tuple[int, list[str]]], network: str
) -> None:
    document = yaml.safe_load((project / "params.yaml").read_text())
    document["runner"]["network"] = network
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    code, lines = run(STAGE)
    assert code == 0, lines
    first, note, second = lines
    assert f"--model {project}/workspace/base" in first
    assert "--worker-extension-cls poly_epo_vllm_worker.PolicyWorker" in first
    assert note.startswith("rollout server ended with code 9: ")
    assert note.endswith("(log: .poly-epo/logs/rollout-server-data-0.log); it is started again")
    assert "--model" in second
    assert containers(project) == []


def test_a_server_that_never_works_ends_the_stage_with_its_last_error(
    project: Path, run: Callable[[str], tuple[int, list[str]]]
) -> None:
    (project / "vllm/entrypoints/openai/api_server.py").write_text("raise ValueError('no such device')")
    with pytest.raises(StageFailed, match=r"rollout server ended with code 1: ValueError: no such device"):
        run("import time; time.sleep(600)")
    assert containers(project) == []


def test_a_stage_that_does_not_sample_has_none(project: Path, run: Callable[[str, str], tuple[int, list[str]]]) -> None:
    assert run("import os; print(os.environ.get('POLY_EPO_ROLLOUT_URLS'))", "compare") == (0, ["None"])
    assert not (project / ".poly-epo" / "logs").exists()
