"""The flow `retrain`: every stage of dvc.yaml as one Prefect task named after it.

DVC says whether a stage is up to date and records what it made; Prefect owns order, parallelism, retries, schedules
and logs. `dvc repro` runs the same stages without any of this module, and finds nothing to do afterwards.

    poly-epo run            # starts what is needed and runs this flow
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import State, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext
from prefect.futures import PrefectFuture
from prefect.states import Completed

from components.params import load_params
from flows.gpu import gpu_slot
from flows.improve import IMPROVE_MODULE, STARTED, improve
from flows.locking import exclusive
from flows.progress import FLOW_RUN_ID, Reporter, current_reporter
from flows.push import Pushing
from flows.runners.base import Runner, StageFailed, StageKilled, error_line, get_runner
from flows.runners.process import Interrupted, ends_children
from flows.settings import STATE, FlowSettings
from flows.stages import Begin, Project, StageInfo
from flows.subflows import create_subflow_run
from flows.summary import record_run, write_seconds
from flows.sync import TrackingSync, sync_once

__all__ = ["SKIPPED", "retrain"]

SKIPPED = "Skipped"
"""Name of the state of a stage that was up to date."""


@dataclass(frozen=True)
class _Run:
    """What the stages of one flow run share."""

    project: Project
    runner: Runner
    reporter: Reporter
    force: bool
    on_work: Callable[[], None]
    pushing: Pushing
    seconds: dict[str, float] = field(default_factory=dict)


@flow(name="retrain", validate_parameters=False)
def retrain(force: bool = False, runner: str = "", root: str = ".", only: list[str] | None = None) -> dict[str, str]:
    """Bring every stage of the project up to date.

    Args:
        force: run every stage, up to date or not.
        runner: where the work happens; by default POLY_EPO_RUNNER, else ``local``.
        root: the project's root; this process must be in it.
        only: names of stages to bring up to date, with all that they read among them; None: every stage.

    Returns:
        Stage name -> how it ended.

    Raises:
        PolyEpoError: another run is at work here.
        StageFailed: the first stage, in the order of the plan, that failed; its descendants were not run.
    """
    with exclusive(Path(root) / STATE / "locks" / "run.lock", "this project", wait_seconds=5.0):
        return _retrain(force, runner, root, only)


def _retrain(force: bool, runner: str, root: str, only: Sequence[str] | None) -> dict[str, str]:
    settings = FlowSettings.from_environment()
    project, reporter = Project(Path(root)), current_reporter()
    flow_run_id = _flow_run_id()
    os.environ[FLOW_RUN_ID] = flow_run_id
    tracking = TrackingSync(
        lambda: sync_once(load_params(project.root / "params.yaml"), project.root, {"flow_run_id": flow_run_id}),
        warn=lambda text: reporter.note(f"warning: {text}"),
    )
    pushing = Pushing(project, warn=lambda text: reporter.note(f"warning: {text}"))
    run = _Run(project, get_runner(runner or settings.runner), reporter, force, tracking.wake, pushing)
    stages = [stage for stage in project.plan() if only is None or stage.name in only]
    reporter.planned([stage.name for stage in stages])
    with ends_children():
        try:
            states = _run_all(run, stages, settings)
        finally:
            pushing.finish()
            tracking.finish()
            write_seconds(project.root, run.seconds)
    record_run(project.root, flow_run_id, tracking.address, {name: state.name or "" for name, state in states.items()})
    for state in states.values():
        if state.is_failed() or state.is_crashed():
            state.result()  # raises the stage's own error
    return {name: state.name or "" for name, state in states.items()}


def _run_all(run: _Run, stages: Sequence[StageInfo], settings: FlowSettings) -> dict[str, State[Any]]:
    futures: dict[str, PrefectFuture[Any]] = {}
    run_stage = _stage_task(run, settings)
    for stage in stages:
        stage_task = run_stage.with_options(
            name=stage.name,
            task_run_name=stage.name,
            retries=settings.retries,
            retry_delay_seconds=settings.retry_delay,
            retry_condition_fn=_was_killed,
        )
        parents = [futures[parent] for parent in stage.parents if parent in futures]
        futures[stage.name] = stage_task.submit(stage.name, return_state=False, wait_for=parents)
    for future in futures.values():
        future.wait()
    return {name: future.state for name, future in futures.items()}


def _stage_task(run: _Run, settings: FlowSettings) -> Task[[str], State[None]]:
    """The task that brings one stage up to date; Prefect handles the stage's name alone."""
    stages = {stage.name: stage for stage in run.project.plan()}

    @task(name="stage", cache_policy=NO_CACHE, persist_result=False)
    def run_stage(name: str) -> State[None]:
        with gpu_slot(settings, name):
            return _bring_up_to_date(run, stages[name])

    return run_stage


def _bring_up_to_date(run: _Run, stage: StageInfo) -> State[None]:
    """Skip the stage, or run its commands and record what they made."""
    logger = get_run_logger()
    begin = run.project.begin(stage.name, force=run.force)
    if begin is not Begin.RUN:
        logger.info("%s: %s", stage.name, begin.value)
        run.reporter.ended(stage.name, "skipped" if begin is Begin.UP_TO_DATE else begin.value)
        return Completed(name=SKIPPED if begin is Begin.UP_TO_DATE else "Restored", message=begin.value)
    run.on_work()
    run.reporter.started(stage.name)
    started = time.monotonic()
    try:
        with run.project.busy(stage.name):
            for command in stage.commands:
                _run_command(run, stage, command)
        run.pushing.expect(stage.name)
        run.project.record(stage.name)
    except BaseException as error:
        run.reporter.ended(stage.name, "stopped" if isinstance(error, Interrupted) else f"failed: {error}")
        raise
    seconds = time.monotonic() - started
    run.pushing.push(stage.name)
    run.seconds[stage.name] = seconds
    run.reporter.ended(stage.name, f"done in {seconds:.1f} s")
    return Completed(message="done")


def _run_command(run: _Run, stage: StageInfo, command: str) -> None:
    logger = get_run_logger()
    lines: deque[str] = deque(maxlen=200)

    def on_line(line: str) -> None:
        lines.append(line)
        logger.info("%s", line)
        run.reporter.line(stage.name, line)

    log = run.project.root / STATE / "logs" / f"{stage.name.replace('@', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"--- flow run {os.environ.get(FLOW_RUN_ID, '')}: {command}\n")
    code = run.runner.run(
        _argv(run, stage, command), cwd=stage.directory, env=_stage_env(run, stage), on_line=on_line, log=log
    )
    if code:
        kind = StageKilled if code > 128 else StageFailed
        said = f"killed by signal {code - 128}" if code > 128 else error_line(lines)
        raise kind(said, where=f"stage {stage.name}", remedy=f"log: {os.path.relpath(log)}")


def _argv(run: _Run, stage: StageInfo, command: str) -> list[str]:
    """The command as it is, through the shell; the improvement loop as a subflow that shows every iteration."""
    words = shlex.split(command)
    if words[:3] == ["python", "-m", IMPROVE_MODULE]:
        context = TaskRunContext.get()
        parent = context.task_run.id if context is not None else None
        parameters = {"command": words[3:]}
        made = create_subflow_run(
            improve, name=stage.name, parameters=parameters, parent=parent, note=run.reporter.note
        )
        return [sys.executable, "-m", "flows.improve", *words[3:], "--flow-run-id", str(made)]
    return ["/bin/sh", "-c", command]


def _stage_env(run: _Run, stage: StageInfo) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PATH": path,
        "DVC_ROOT": str(run.project.root),
        "DVC_STAGE": stage.name,
        STARTED: str(time.monotonic()),
    }


def _was_killed(_task: object, _task_run: object, state: State[Any]) -> bool:
    """Whether the state's error says that the stage was killed from outside: the one fault worth another attempt."""
    return isinstance(state.result(raise_on_failure=False), StageKilled)


def _flow_run_id() -> str:
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context is not None and context.flow_run is not None else ""
