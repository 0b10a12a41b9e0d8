"""The flow `improve`: one arm's training loop, each iteration three tasks: rollout -> score -> update.

`retrain` makes the flow run, this module runs it in a process of its own, so that arms train side by side:

    python -m flows.improve --arm grpo --base DIR --problems DIR --out DIR --flow-run-id ID

The same loop without Prefect is `python -m components.improve`. Both resume at the first step whose manifest is
missing. Only paths and numbers pass between tasks; what a step makes lies in the workspace.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow_sync

from components.command import component_parser, run_command
from components.params import load_params
from flows.settings import STATE

if TYPE_CHECKING:
    from components.improve.session import Session
    from components.improve.workspace import Step

__all__ = ["IMPROVE_MODULE", "STARTED", "improve"]

IMPROVE_MODULE = "components.improve"
"""The module whose command line a stage names to be run as this flow."""

STARTED = "POLY_EPO_STARTED"
"""Environment variable: when `retrain` asked for the process, on the system's monotonic clock."""


@dataclass
class _Clock:
    began: float
    """When the stage's process was asked for, on the system's monotonic clock."""
    load_seconds: float = 0.0
    """Importing torch and transformers and opening the session: needed with or without an orchestrator."""


@flow(name="improve", validate_parameters=False)
def improve(command: list[str]) -> dict[str, float]:
    """Run the pending steps of one arm.

    Args:
        command: options of `python -m components.improve`.

    Returns:
        ``wall_seconds``: since the process was asked for; ``compute_seconds`` of them inside the steps' own work,
        ``load_seconds`` loading libraries and the session; the rest is orchestration.
    """
    options = _parser().parse_args(command)
    clock = _Clock(began=float(os.environ.get(STARTED, time.monotonic())))
    with _opened(options, clock) as session:
        run_step = _step_task(session)
        for step in session.pending_steps():
            name = f"{step.name}-{step.iteration:06d}"
            run_step.with_options(name=step.name, task_run_name=name)(step)
        session.finish()
        compute = session.compute_seconds
    wall = time.monotonic() - clock.began
    facts = {"wall_seconds": wall, "compute_seconds": compute, "load_seconds": clock.load_seconds}
    timings = STATE / "timings" / f"improve-{options.arm}.json"
    timings.parent.mkdir(parents=True, exist_ok=True)
    timings.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


_SHOWN = ("reward_mean", "coverage", "distinct_correct", "signal_share", "entropy", "pass@1", "pass@8", "pass@32")
"""The metrics of an iteration that its progress line shows; Prefect's log and MLflow have all of them."""


def _line(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in metrics.items())


@contextmanager
def _opened(options: argparse.Namespace, clock: _Clock) -> Iterator[Session]:
    # torch and transformers are imported here, in the arm's own process.
    before = time.monotonic()
    from components.improve.session import Session  # noqa: PLC0415

    params = load_params(options.params)
    paths = {"base": options.base, "problems": options.problems, "out": options.out}
    with Session.open(params, arm=options.arm, **paths) as session:
        clock.load_seconds = time.monotonic() - before
        yield session


def _step_task(session: Session) -> Task[[Step], None]:
    """The task that runs one step; the session stays in this closure, so that Prefect handles the step alone."""

    @task(name="step", cache_policy=NO_CACHE, persist_result=False)
    def run_step(step: Step) -> None:
        metrics = session.run(step)
        get_run_logger().info("%s: %s", step, _line(metrics))
        shown.update({name: value for name, value in metrics.items() if name in _SHOWN})
        if step.name in ("update", "evaluate"):
            sys.stdout.write(f"iteration {step.iteration} {step.name}: {_line(shown)}\n")
            sys.stdout.flush()
            shown.clear()

    shown: dict[str, float] = {}
    return run_step


def _parser() -> argparse.ArgumentParser:
    parser = component_parser("Improve one arm's policy, every step a Prefect task.")
    parser.add_argument("--arm", required=True, help="an arm of params.yaml")
    parser.add_argument("--base", type=Path, required=True, help="directory of the base policy")
    parser.add_argument("--problems", type=Path, required=True, help="directory of the data stage")
    parser.add_argument("--out", type=Path, required=True, help="the arm's workspace")
    return parser


def main() -> None:
    """Run the flow run that `--flow-run-id` names, made by `retrain`; the other options are those of the loop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flow-run-id", type=UUID, required=True)
    chosen, command = parser.parse_known_args()
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(chosen.flow_run_id)
    run_flow_sync(improve, flow_run=flow_run, parameters={"command": command})


if __name__ == "__main__":
    run_command(main)
