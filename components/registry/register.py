"""Register a candidate, decide by the gate, move the aliases, write the decision document.

Every moment of it is a valid state: the version is registered once per policy digest; the verdict is noted on the
version before any alias moves, so that a repeat after a kill finishes the same decision; the champion moves last.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from components.errors import PolyEpoError
from components.evaluation.params import EvaluationParams
from components.manifest import fingerprint, publish, read_manifest, write_json
from components.params import Params
from components.registry.aliases import crown
from components.registry.card import decision_markdown, model_card
from components.registry.evidence import Evidence, evidence_of, read_metrics
from components.registry.gate import Bootstrap, Decision, decide
from components.registry.params import RegistryParams
from components.registry.store import CHALLENGER, CHAMPION, Models, Version, open_models
from components.tracking.params import TrackingParams
from components.tracking.sync import TrackingUnavailable, sync

__all__ = ["DECISION_NAME", "register"]

DECISION_NAME = "decision.json"
_DECISION_TAG = "poly_epo.decision"

logger = logging.getLogger(__name__)


def register(
    params: Params, *, evaluations: Path, policy: Path, candidate: str, out: Path, reports: Path, state: Path
) -> Decision:
    """Register ``policy`` and promote it if the gate says so; does nothing where ``out`` holds this very decision.

    Args:
        params: all parameters.
        evaluations: directory with one published evaluation per model: ``base`` and ``candidate``.
        policy: the candidate's policy directory (published).
        candidate: name of the arm, and of its evaluation.
        out: directory to publish ``decision.json`` and ``decision.md`` in.
        reports: directory that holds ``comparison/`` (for tracking).
        state: tracking's local state.

    Returns:
        The decision.

    Raises:
        PolyEpoError: an input is missing, the evaluation is of another policy, or a k exceeds the samples.
        TrackingUnavailable: the registry cannot be reached; run the same command again when it can.
    """
    request = _request(params, evaluations, policy, candidate)
    manifest = read_manifest(out)
    if manifest is not None and manifest.fingerprint == request.fingerprint:
        return Decision.from_dict(json.loads((out / DECISION_NAME).read_text(encoding="utf-8")))
    run_id = _tracked_run(params, evaluations.parent, reports, state, candidate)
    registry = params[RegistryParams]
    models = open_models(params[TrackingParams], registry.model)
    version = models.find(request.evidence.policy) or models.add(policy, request.evidence.policy, run_id)
    models.keep(version, request.evidence, model_card(params, candidate, request.evidence, request.metrics))
    decision = _settle(models, version, request, registry)
    with publish(out, fingerprint=request.fingerprint, facts={"verdict": decision.verdict}) as directory:
        write_json(directory / DECISION_NAME, decision.as_dict())
        (directory / "decision.md").write_text(decision_markdown(decision), encoding="utf-8")
    return decision


@dataclass(frozen=True)
class _Request:
    """What is asked: the candidate's and the base's evidence, how to compare, and the identity of it all."""

    evidence: Evidence
    base: Evidence
    metrics: dict[str, object]
    bootstrap: Bootstrap
    fingerprint: str


def _request(params: Params, evaluations: Path, policy: Path, candidate: str) -> _Request:
    manifest = read_manifest(policy)
    if manifest is None:
        raise PolyEpoError("no policy is published here", where=str(policy), remedy="run the stage `improve` first")
    evidence, base = evidence_of(evaluations / candidate), evidence_of(evaluations / "base")
    if evidence.policy != manifest.digest:
        raise PolyEpoError(
            f"the evaluation is of another policy than {policy}",
            where=str(evaluations / candidate),
            value=evidence.policy[:12],
            remedy="evaluate this policy first: run the evaluation stage again",
        )
    evaluation = params[EvaluationParams]
    bootstrap = Bootstrap(evaluation.bootstrap_draws, evaluation.confidence, evaluation.seed)
    settings = params[RegistryParams].model_dump(mode="json")
    identity = fingerprint(settings, evidence.to_json(), base.to_json(), [bootstrap.draws, bootstrap.confidence])
    return _Request(evidence, base, read_metrics(evaluations / candidate), bootstrap, identity)


def _tracked_run(params: Params, workspace: Path, reports: Path, state: Path, candidate: str) -> str | None:
    """MLflow run of the candidate's arm: the version's lineage. Registering goes on without it."""
    try:
        report = sync(params, workspace=workspace, reports=reports, state=state)
    except TrackingUnavailable as error:
        logger.warning("the runs are not tracked yet: %s", error.line())
        return None
    return report.runs.get(f"arm/{candidate}")


def _settle(models: Models, version: Version, request: _Request, registry: RegistryParams) -> Decision:
    """The decision for ``version``: the one noted on it if that is still open or stands, else a new one."""
    champion = models.with_alias(CHAMPION)
    noted = json.loads(version.tags.get(_DECISION_TAG, "{}"))
    ours = noted.get("fingerprint") == request.fingerprint
    if ours and noted["settled"]:
        return Decision.from_dict(noted["decision"])
    untouched = (champion.number if champion else 0) in (noted.get("incumbent"), version.number)
    if ours and untouched:
        decision, old = Decision.from_dict(noted["decision"]), noted["incumbent"]
    else:
        if champion is None or champion.number != version.number:
            models.move(CHALLENGER, version)
        decision, old = _decide(models, version, champion, request, registry), champion.number if champion else 0
        _note(models, version, request, decision, old, settled=False)
    if decision.promoted:
        crown(models, version, models.get(old) if old else None)
    _note(models, version, request, decision, old, settled=True)
    return decision


def _decide(
    models: Models, version: Version, champion: Version | None, request: _Request, registry: RegistryParams
) -> Decision:
    compare: Callable[[Evidence, str], Decision] = lambda incumbent, kind: decide(  # noqa: E731
        request.evidence, incumbent, kind, gate=registry.gate, bootstrap=request.bootstrap
    )
    if champion is None:
        return compare(request.base, "base")
    if champion.number == version.number:
        decision = compare(request.evidence, "champion")
        return replace(decision, verdict="unchanged", reasons=["this policy is the champion already"])
    return compare(models.evidence(champion), "champion")


def _note(models: Models, version: Version, request: _Request, decision: Decision, old: int, *, settled: bool) -> None:
    document = {
        "fingerprint": request.fingerprint,
        "incumbent": old,
        "settled": settled,
        "decision": decision.as_dict(),
    }
    tags = {_DECISION_TAG: json.dumps(document, sort_keys=True), "poly_epo.verdict": decision.verdict}
    models.set_tags(version, tags)
