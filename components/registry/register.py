"""Register a candidate policy and decide whether it becomes champion; every step may be repeated after a kill.

The order makes that true: files, then the version, then what the version is judged by and was made from, then the
judgement (see `judge`), then the published decision. A repeat finds what the former attempt did and goes on.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from components.errors import PolyEpoError
from components.evaluation.params import EvaluationParams
from components.manifest import fingerprint, publish, read_manifest, write_json
from components.params import Params
from components.registry.aliases import open_registry
from components.registry.card import CARD, model_card
from components.registry.checks import same_problems
from components.registry.document import decision_markdown
from components.registry.evidence import Evidence, evidence_of, read_metrics
from components.registry.gate import Bootstrap, Decision, OtherSet, decide
from components.registry.judge import judge
from components.registry.lineage import DVC_LOCK, LINEAGE, gather_lineage
from components.registry.other_sets import challenger_sets, kept_name, measured_on_test, with_incumbent
from components.registry.params import RegistryParams
from components.registry.show import SUMMARY_TAG, summary
from components.registry.store import EVIDENCE, Models, Version
from components.tracking.sync import TrackingUnavailable, sync

__all__ = ["DECISION_NAME", "register"]

DECISION_NAME = "decision.json"

logger = logging.getLogger(__name__)


def register(
    params: Params,
    *,
    evaluations: Path,
    policy: Path,
    candidate: str,
    out: Path,
    reports: Path,
    state: Path,
    sets: Path = Path("workspace/sets"),
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
        sets: directory of the other evaluation sets that the gate names.

    Returns:
        The decision.

    Raises:
        PolyEpoError: an input is missing, the evaluation is of another policy, or a k exceeds the samples.
        TrackingUnavailable: the registry cannot be reached; run the same command again when it can.
    """
    request = _request(params, evaluations, policy, candidate, sets)
    manifest = read_manifest(out)
    if manifest is not None and manifest.fingerprint == request.fingerprint:
        return Decision.from_dict(json.loads((out / DECISION_NAME).read_text(encoding="utf-8")))
    run_id = _tracked_run(params, evaluations.parent, reports, state, candidate)
    models = open_registry(params)
    version = models.find(request.evidence.policy) or models.add(policy, request.evidence.policy, run_id)
    _keep(models, version, request, params, evaluations.parent, run_id)

    def compare(champion: Version | None) -> Decision:
        return _compare(models, champion, request, params)

    decision = judge(models, version, request.fingerprint, compare)
    with publish(out, fingerprint=request.fingerprint, facts={"verdict": decision.verdict}) as directory:
        write_json(directory / DECISION_NAME, decision.as_dict())
        (directory / "decision.md").write_text(decision_markdown(decision), encoding="utf-8")
    return decision


@dataclass(frozen=True)
class _Request:
    """What is asked: the candidate and its evaluations, the base's, others' on the same problems, and its identity."""

    candidate: str
    policy: Path
    evaluation: Path
    evidence: Evidence
    base: Evidence
    other_sets: list[OtherSet]
    on_test: dict[str, Evidence]
    sets: Path
    fingerprint: str


def _request(params: Params, evaluations: Path, policy: Path, candidate: str, sets: Path) -> _Request:
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
    gate = params[RegistryParams].gate
    others = challenger_sets(gate, sets, policy, evidence.policy, candidate)
    against_base = [with_incumbent(other, sets, base.policy, "base", {}) for other in others]
    on_test = {
        digest: measured
        for digest, measured in measured_on_test(sets).items()
        if same_problems(evidence, measured).passed
    }
    bootstrap = _bootstrap(params)
    settings = params[RegistryParams].model_dump(mode="json")
    seen = [e.to_json() for other in against_base for e in (other.challenger, other.incumbent) if e is not None]
    seen += [measured.to_json() for measured in on_test.values()]
    identity = fingerprint(settings, evidence.to_json(), base.to_json(), seen, asdict(bootstrap))
    return _Request(candidate, policy, evaluations / candidate, evidence, base, others, on_test, sets, identity)


def _bootstrap(params: Params) -> Bootstrap:
    evaluation = params[EvaluationParams]
    return Bootstrap(evaluation.bootstrap_draws, evaluation.confidence, evaluation.seed, evaluation.interval)


def _compare(models: Models, champion: Version | None, request: _Request, params: Params) -> Decision:
    if champion is None:
        incumbent, kind, kept = request.base, "base", {}
    else:
        # The test split may have changed since the champion was registered: an evaluation on this one then counts.
        incumbent, kind = request.on_test.get(champion.policy) or models.evidence(champion), "champion"
        names = [kept_name(other.name) for other in request.other_sets]
        kept = {name: text for name in names if (text := models.kept(champion, name)) is not None}
    others = [with_incumbent(other, request.sets, incumbent.policy, kind, kept) for other in request.other_sets]
    gate, bootstrap = params[RegistryParams].gate, _bootstrap(params)
    return decide(request.evidence, incumbent, kind, gate=gate, bootstrap=bootstrap, other_sets=others)


def _keep(
    models: Models, version: Version, request: _Request, params: Params, workspace: Path, run_id: str | None
) -> None:
    """Store with the version what it is judged by, what it was made from, and its model card."""
    metrics = read_metrics(request.evaluation)
    lineage = gather_lineage(params, workspace, request.evidence.policy, run_id or version.run_id)
    history = request.policy.parent / "history.json"
    training = json.loads(history.read_text(encoding="utf-8")).get("evaluations", []) if history.is_file() else []
    card = model_card(request.candidate, request.evidence, metrics, lineage, training)
    others = {kept_name(o.name): o.challenger.to_json() for o in request.other_sets if o.challenger is not None}
    files = {
        EVIDENCE: request.evidence.to_json(),
        LINEAGE: json.dumps(lineage, sort_keys=True, indent=1),
        CARD: card,
    }
    lock = Path(DVC_LOCK)
    if lock.is_file():
        files[DVC_LOCK] = lock.read_text(encoding="utf-8")
    models.keep(version, files | others)
    models.describe(version, card)
    models.set_tags(version, {SUMMARY_TAG: summary(metrics, lineage)})


def _tracked_run(params: Params, workspace: Path, reports: Path, state: Path, candidate: str) -> str | None:
    """MLflow run of the candidate's arm: the version's lineage. Registering goes on without it."""
    try:
        report = sync(params, workspace=workspace, reports=reports, state=state)
    except TrackingUnavailable as error:
        logger.warning("the runs are not tracked yet: %s", error.line())
        return None
    return report.runs.get(f"arm/{candidate}")
