"""The flow `renew`: the scheduled retrain. It notices new data, retrains on them, and says what came of it and why.

    notice -> pin the new version in params.yaml -> data and its gate -> champion on the new problems
           -> retrain (flows/retrain.py) -> artifacts, MLflow, notification

Nothing changed: it says so and ends in seconds. Killed anywhere, the next run goes on: what is pinned stays pinned, and
every stage knows by itself whether it is done.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from components.data.params import DataParams
from components.data.version import DataVersion, made_identity, newest
from components.errors import PolyEpoError
from components.params import load_params
from components.policy.params import PolicyParams
from flows.champion import Champion, current_champion
from flows.child import run_command_line
from flows.notify import News, tell
from flows.profiles import set_values
from flows.report import decision_of, publish_report
from flows.retrain import retrain
from flows.stages import Project
from flows.sync import sync_once

__all__ = ["pin_newest", "renew"]

Start = Literal["base", "champion"]
_DATA_STAGES = ["data", "gate_problems"]


@dataclass(frozen=True)
class Change:
    """What a run found: ``reason`` for people; ``data``: whether the data are new; ``work``: whether there is any."""

    reason: str
    data: bool
    work: bool


@flow(name="renew")
def renew(start: Start = "base", force: bool = False, runner: str = "", root: str = ".") -> str:
    """Retrain if there is something new.

    Args:
        start: from what a retrain on new data starts: ``base`` (section ``policy`` as it stands) or ``champion``.
        force: run every stage, changed or not.
        runner: where the work happens; by default POLY_EPO_RUNNER, else ``local``.
        root: the project's root; this process must be in it.

    Returns:
        What came of it, in one line.

    Raises:
        PolyEpoError: the source cannot be read, the gate refused the data, or a stage failed.
    """
    here = Path(root)
    change = _notice(here)
    if not (change.work or force):
        _say(here, News.NOTHING_NEW, f"nothing changed: {change.reason}")
        create_markdown_artifact(f"Nothing changed: {change.reason}.", key="retrain", description="nothing to do")
        return f"nothing changed: {change.reason}"
    champion = _champion(here)
    if change.data:
        _pin(here, start, champion)
    retrain(root=root, runner=runner, only=_DATA_STAGES, force=force)
    if champion is not None:
        _measure(here, champion)
    retrain(root=root, runner=runner, force=force)
    return _conclude(here, change, start)


def pin_newest(root: Path) -> DataVersion:
    """Pin what the source of ``root``'s params.yaml holds now; params.yaml is unchanged where there is nothing to pin.

    Raises:
        PolyEpoError: the source cannot be read.
    """
    params = root / "params.yaml"
    version = newest(load_params(params)[DataParams])
    if version.pin:
        set_values({"data": {"source": version.pin}}, params)
    return version


@task(name="notice", cache_policy=NO_CACHE, persist_result=False)
def _notice(root: Path) -> Change:
    version = newest(load_params(root / "params.yaml")[DataParams])
    data = root / "workspace" / "data"
    before, after = made_identity(data), version.identity
    if not version.is_made(data):
        what = f"the data changed: {_short(before)} -> {_short(after)}" if before else "there are no data yet"
        return Change(what, data=True, work=True)
    stale = Project(root).stale()
    if stale:
        return Change(f"code, parameters or an unfinished run: {', '.join(stale)}", data=False, work=True)
    return Change(f"the data are {_short(before)}, and every stage is up to date", data=False, work=False)


@task(name="pin", cache_policy=NO_CACHE, persist_result=False)
def _pin(root: Path, start: Start, champion: Champion | None) -> None:
    """A new version of the data, by params.yaml: DVC sees it; and from which policy to start."""
    pin_newest(root)
    before = load_params(root / "params.yaml")[PolicyParams].champion
    wanted = champion.policy if champion is not None and start == "champion" else None
    if wanted != before:
        set_values({"policy": {"champion": wanted}}, root / "params.yaml")


@task(name="champion", cache_policy=NO_CACHE, persist_result=False)
def _champion(root: Path) -> Champion | None:
    return current_champion(root)


@task(name="evaluate champion", cache_policy=NO_CACHE, persist_result=False)
def _measure(root: Path, champion: Champion) -> None:
    """The champion on the problems that the challenger will be judged on; nothing is done where that stands."""
    problems, out = "workspace/data/test.parquet", "workspace/sets/test/champion"
    command = [sys.executable, "-m", "components.evaluation", "--policy", str(champion.directory)]
    run_command_line([*command, "--problems", problems, "--out", out], root, "evaluate champion")


def _conclude(root: Path, change: Change, start: Start) -> str:
    decision = decision_of(root)
    verdict = str(decision.get("verdict", "unchanged"))
    reason = f"{change.reason[:1].upper()}{change.reason[1:]}; started from the {start}."
    text = f"{verdict}: {decision.get('why', 'there is no decision')} ({reason})"
    publish_report(root, reason, _track(root, reason, verdict))
    _say(root, News(verdict), text)
    return text


def _track(root: Path, reason: str, verdict: str) -> str:
    """The reason and the verdict as tags of the MLflow run; its address, "" while MLflow is away."""
    try:
        return sync_once(load_params(root / "params.yaml"), root, {"retrain_reason": reason, "verdict": verdict})
    except PolyEpoError as error:
        get_run_logger().warning("tracking waits: %s", error.line())
        return ""


def _say(root: Path, news: News, text: str) -> None:
    get_run_logger().info("%s", text)
    tell(root, news, text)


def _short(identity: dict[str, str]) -> str:
    """An identity for people: long digests cut."""
    return json.dumps({name: str(value)[:12] for name, value in sorted(identity.items())})
