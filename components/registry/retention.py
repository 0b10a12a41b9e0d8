"""What may go: old versions, their artifacts, sampled rollouts in MLflow and DVC cache objects; never what is in use.

In use is what an alias, an open (RUNNING) run or a dvc.lock refers to, and the last ``keep_last`` of each kind.
Versions are retired in the ledger first, so that none is promoted while it is being removed; a prune that is
killed is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError
from components.params import Params
from components.registry.aliases import open_registry, settle
from components.registry.cache import CacheObject, locked_policies, locks_of_checkout, unused_objects
from components.registry.ledger import Ledger, Move
from components.registry.lineage import DVC_LOCK
from components.registry.runs import Runs
from components.registry.store import Models, Version

__all__ = ["Kept", "Plan", "make_plan", "prune"]

_BATCH = 200  # versions per ledger entry: its text is limited to 6000 characters
_ATTEMPTS = 5
_OPEN = "retrain {} is open and may be writing to it; delete that run in MLflow if it was abandoned"


@dataclass(frozen=True)
class Kept:
    """Something that stays, and why."""

    name: str
    why: str


@dataclass
class Plan:
    """What would go and what stays.

    Attributes:
        versions: version -> bytes of its files.
        left_over: logged model that a killed prune or a lost race left -> bytes.
        rollouts: id of an arm's MLflow run -> (its name, bytes of its sampled rollouts).
        objects: of DVC's cache.
        kept: what stays although it is old, with the reason.
        length: of the ledger that the plan was made on.
    """

    versions: dict[int, tuple[Version, int]] = field(default_factory=dict)
    left_over: dict[str, int] = field(default_factory=dict)
    rollouts: dict[str, tuple[str, int]] = field(default_factory=dict)
    objects: list[CacheObject] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    length: int = 0

    @property
    def total(self) -> int:
        """Bytes in all."""
        parts = [size for _, size in self.versions.values()], self.left_over.values()
        sampled = (size for _, size in self.rollouts.values())
        return sum(map(sum, parts)) + sum(sampled) + sum(entry.size for entry in self.objects)


def make_plan(params: Params, root: Path, *, keep_last: int, cache: bool, grace_seconds: float) -> Plan:
    """What a prune would remove, without removing anything.

    Args:
        params: say which registry.
        root: the checkout, with ``dvc.lock`` and ``.dvc/cache``.
        keep_last: versions and retrains that are kept however unused they are, at least 1.
        cache: whether DVC's cache is looked at.
        grace_seconds: see `unused_objects`.

    Raises:
        PolyEpoError: ``keep_last`` is below 1, or a dvc.lock is unreadable.
        TrackingUnavailable: MLflow cannot be reached.
    """
    if keep_last < 1:
        raise PolyEpoError("at least the newest must be kept", where="--keep-last", value=keep_last)
    models = open_registry(params)
    ledger, runs = Ledger(models.store, models.name), Runs(models.store)
    plan = Plan(length=settle(models, ledger))
    locks = locks_of_checkout(root)
    locked = locked_policies(root, root / ".dvc" / "cache", locks)
    staying = _plan_versions(plan, models, runs, locked, ledger.retired(), keep_last)
    plan.left_over = {name: models.size(name) for name in models.left_over()}
    _plan_rollouts(plan, runs, staying, keep_last)
    if cache:
        _plan_cache(plan, models, runs, root, locks, staying, grace_seconds)
    return plan


def prune(params: Params, root: Path, *, keep_last: int, cache: bool, grace_seconds: float) -> Plan:
    """Remove what `make_plan` says, and say what that was.

    Raises:
        PolyEpoError: as `make_plan`, or promotions keep coming in between.
    """
    models = open_registry(params)
    ledger = Ledger(models.store, models.name)
    for _ in range(_ATTEMPTS):
        plan = make_plan(params, root, keep_last=keep_last, cache=cache, grace_seconds=grace_seconds)
        if _retire(ledger, sorted(set(plan.versions) - ledger.retired()), plan.length):
            break
    else:
        raise PolyEpoError("promotions come in all the time; nothing was removed", where="prune", remedy="repeat it")
    for number in list(plan.versions):
        if not models.remove(number):  # it got an alias in between
            del plan.versions[number]
    for model_id in models.left_over():
        models.remove_files(model_id)
    runs = Runs(models.store)
    for run_id in plan.rollouts:
        runs.remove_rollouts(run_id)
    for entry in plan.objects:
        entry.path.unlink(missing_ok=True)
    return plan


def _retire(ledger: Ledger, numbers: list[int], length: int) -> bool:
    batches = [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]
    return all(ledger.append(Move("retire", retired=batch), length + place) for place, batch in enumerate(batches))


def _plan_versions(
    plan: Plan, models: Models, runs: Runs, locked: set[str], retired: set[int], keep_last: int
) -> list[Version]:
    """Fill in the versions that go; returns those that stay."""
    versions = models.versions()
    newest = {version.number for version in versions[-keep_last:]}
    staying = []
    for version in versions:
        reasons = [f"alias {alias}" for alias in version.aliases]
        if version.number not in retired:
            reasons += ["dvc.lock refers to it"] if version.policy in locked else []
            reasons += [f"open run {run}" for run in runs.open_runs_of(version)]
            reasons += [f"among the last {keep_last}"] if version.number in newest else []
        if reasons:
            staying.append(version)
            plan.kept.append(Kept(f"version {version.number}", ", ".join(reasons)))
        else:
            plan.versions[version.number] = (version, models.size_of(version))
    return staying


def _plan_rollouts(plan: Plan, runs: Runs, staying: Iterable[Version], keep_last: int) -> None:
    used = {version.run_id for version in staying}
    for run in runs.arms_before_last(keep_last):
        size = runs.rollout_bytes(run.info.run_id)
        if not size:
            continue
        name = f"rollouts of {run.info.run_name} ({run.info.run_id[:8]})"
        if run.info.run_id in used:
            plan.kept.append(Kept(name, "a kept version was made by this run"))
        elif runs.is_open(run):
            plan.kept.append(Kept(name, "the run is open"))
        else:
            plan.rollouts[run.info.run_id] = (name, size)


def _plan_cache(
    plan: Plan, models: Models, runs: Runs, root: Path, locks: list[str], staying: list[Version], grace: float
) -> None:
    running: list[Any] = runs.open_retrains()
    if not (root / ".dvc" / "cache").is_dir():
        return
    if not locks:
        plan.kept.append(Kept("DVC cache", "there is no dvc.lock that would say what is in use"))
    elif running:
        plan.kept.append(Kept("DVC cache", _OPEN.format(running[0].info.run_id)))
    else:
        kept = [text for version in staying if (text := models.kept(version, DVC_LOCK)) is not None]
        plan.objects = unused_objects(root / ".dvc" / "cache", [*locks, *kept], grace_seconds=grace)
