"""How long each page of the dashboard takes at the server, with 300 runs of 500 iterations.

    python -m benchmarks.dashboard [--runs 300] [--iterations 500] [--requests 20]

The data are generated in a temporary directory in the format that the pipeline writes. Every finished run has its own
history, evaluation and policy manifests; the directories of iterations are links to a pool of 20, because a quarter
of a million real ones would take longer to make than to read. One further run is still training: it has no history,
so its 500 iterations are read one by one. Times are those of the whole request inside the server, without a network;
"first" is the first request of that page after the start; the CPU columns do not depend on what else the machine is
doing.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

from starlette.testclient import TestClient

from components.dashboard.app import create_app
from tests.unit.dashboard.example import (
    finish_arm,
    link_tree,
    make_data,
    make_evaluation,
    make_iteration,
    make_policy,
    write_params,
    write_timings,
)

_ARMS = ("grpo", "poly_epo")
_POOL = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        begin = time.perf_counter()
        generate(root, options.runs, options.iterations)
        print(f"{options.runs} runs of {options.iterations} iterations, made in {time.perf_counter() - begin:.0f} s")
        measure(root, options.iterations, options.requests)


def generate(root: Path, runs: int, iterations: int) -> None:
    pool = root / "pool"
    for arm in _ARMS:
        for number in range(1, _POOL + 1):
            make_iteration(pool, arm, number, _POOL, group_size=16)
    for place in range(runs // len(_ARMS)):
        workspace = root / "archive" / f"sweep-{place:04d}"
        workspace.mkdir(parents=True)
        more = {"training": {"learning_rate": 1e-4 * (1 + place % 7)}}
        write_params(workspace, _ARMS, iterations, 16, more)
        make_data(workspace, 20)
        make_policy(workspace / "base", f"base-{place}", {"version": 0})
        for arm in _ARMS:
            _linked(pool, workspace, arm, iterations)
            finish_arm(workspace, arm, iterations, seed=place)
            policy = workspace / "improve" / arm / "final"
            make_evaluation(workspace, arm, policy, skill=0.2 + 0.5 * (place % 10) / 10, seed=place, problems=81)
            write_timings(workspace / "timings" / f"{arm}.jsonl", iterations)
    project = root / "project"
    (project / "workspace").mkdir(parents=True)
    write_params(project, _ARMS, iterations + 1, 16, {})
    make_data(project / "workspace", 20)
    make_policy(project / "workspace" / "base", "base", {"version": 0})
    _copied(pool, project / "workspace", "poly_epo", iterations)


def _linked(pool: Path, workspace: Path, arm: str, iterations: int) -> None:
    directory = workspace / "improve" / arm / "iterations"
    directory.mkdir(parents=True)
    for number in range(1, iterations + 1):
        (directory / f"{number:06d}").symlink_to(_of_pool(pool, arm, number), target_is_directory=True)


def _copied(pool: Path, workspace: Path, arm: str, iterations: int) -> None:
    for number in range(1, iterations + 1):
        link_tree(_of_pool(pool, arm, number), workspace / "improve" / arm / "iterations" / f"{number:06d}")


def _of_pool(pool: Path, arm: str, number: int) -> Path:
    return pool / "improve" / arm / "iterations" / f"{(number - 1) % _POOL + 1:06d}"


def measure(root: Path, iterations: int, requests: int) -> None:
    many = [f"sweep-{place:04d}:{arm}" for place in range(4) for arm in _ARMS]
    chosen = "&".join(f"run={run}" for run in many)
    pages = {
        "/runs": "/runs",
        "/runs, sorted and filtered": "/runs?q=sweep+evaluated&sort=pass_8&arm=poly_epo&page=2",
        "/compare, 3 runs": "/compare?" + "&".join(f"run={run}" for run in many[:3]),
        "/compare, 8 runs": f"/compare?{chosen}",
        "/runs/ID, finished": f"/runs/{many[1]}",
        "/runs/ID, training": "/runs/current:poly_epo",
        "/runs/ID/live, training": "/runs/current:poly_epo/live",
        "/runs/ID/rollouts": f"/runs/{many[1]}/rollouts?iteration={iterations}&problem=train-1",
        "/runs/ID/rollouts, two": f"/runs/{many[1]}/rollouts?iteration={iterations}&run2={many[3]}&iteration2=7",
        "/models": "/models",
    }
    begin = time.perf_counter()
    with TestClient(create_app(root / "project", [root / "archive"])) as client:
        print(f"the server was ready after {time.perf_counter() - begin:.1f} s")
        print(f"{'page (ms)':<28} {'first':>8} {'p50':>8} {'p95':>8} {'CPU 1st':>8} {'CPU p50':>8}    kB")
        for name, address in pages.items():
            times, worked = [], []
            for _ in range(requests + 1):
                begin, cpu = time.perf_counter(), time.process_time()
                answer = client.get(address)
                worked.append(1000 * (time.process_time() - cpu))
                times.append(1000 * (time.perf_counter() - begin))
                if answer.status_code != 200:
                    raise SystemExit(f"{address}: {answer.status_code}")
            again = sorted(times[1:])
            p95 = again[min(int(0.95 * len(again)), len(again) - 1)]
            kilobytes = len(answer.content) / 1000
            p50, cpu_p50 = statistics.median(again), statistics.median(worked[1:])
            print(f"{name:<28} {times[0]:8.0f} {p50:8.0f} {p95:8.0f} {worked[0]:8.0f} {cpu_p50:8.0f} {kilobytes:5.0f}")


if __name__ == "__main__":
    main()
