"""Evaluate whatever the user names on whatever set: the work behind ``poly-epo evaluate`` and ``poly-epo compare``.

Results lie below ``.poly-epo/evaluations/SET/POLICY``, both named by their content: an alias that moves to another
policy finds that policy's own samples again, and nothing here touches what the pipeline's stages made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from components.data.sets import named_set, problems_of_file, slice_of
from components.domains import DOMAINS
from components.errors import PolyEpoError
from components.evaluation.evaluate import content_digest, evaluate, publish_measured
from components.evaluation.interchange import read_samples
from components.evaluation.model_source import find_policy
from components.evaluation.params import EvaluationParams
from components.manifest import fingerprint, is_published
from components.params import Params
from components.records import PROBLEM, Problem, problems_from_table, read_records
from components.rollout.engine import RolloutEngine, get_engine
from components.rollout.params import RolloutParams
from components.scoring.params import ScoringParams

__all__ = ["STATE", "Plan", "Request", "evaluate_import", "evaluate_model", "make_plan"]

STATE = Path(".poly-epo")
_HELD_OUT = {"validation": Path("workspace/data/validation.parquet"), "test": Path("workspace/data/test.parquet")}
_VERIFIER_OF_DOMAIN = {"reasoning_gym": "reasoning_gym"}


@dataclass(frozen=True)
class Request:
    """What the user asked for; None where the params or the set decide.

    Attributes:
        problems: the user's own problem file (Parquet, JSONL or CSV).
        set_name: a named evaluation set, or ``validation`` or ``test``.
        limit: evaluate only so many problems, spread over the set.
        samples: completions per problem.
        ks: the ks of pass@k; more samples are drawn where one is above them.
        max_new_tokens: longest completion, tokens.
        verifier: who judges.
    """

    problems: Path | None = None
    set_name: str | None = None
    limit: int | None = None
    samples: int | None = None
    ks: Sequence[int] = ()
    max_new_tokens: int | None = None
    verifier: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request made definite.

    Attributes:
        problems_file: PROBLEM Parquet file.
        label: the set's name in paths.
        evaluation, rollout, scoring: the sections of the params as they are used.
        state: directory below which sets, models and evaluations are kept.
    """

    problems_file: Path
    label: str
    evaluation: EvaluationParams
    rollout: RolloutParams
    scoring: ScoringParams
    state: Path = STATE

    def problems(self) -> list[Problem]:
        """The problems of the set."""
        return problems_from_table(read_records(self.problems_file, PROBLEM))

    def directory(self, digest: str) -> Path:
        """Where the evaluation of the policy with this digest lies."""
        return self.state / "evaluations" / f"{self.label}-{content_digest(self.problems_file)[:8]}" / digest[:20]


def make_plan(request: Request, params: Params, *, state: Path = STATE) -> Plan:
    """Find the problems, and settle samples, ks, length and verifier.

    Raises:
        PolyEpoError: no such set, an unusable file, a k above the samples, or values out of range.
    """
    problems_file, label = _problem_file(request, state / "sets")
    if request.limit is not None:
        problems_file = slice_of(problems_file, request.limit, state / "sets")
        label = f"{label}-{request.limit}"
    domains = set(read_records(problems_file, PROBLEM, columns=["domain"])["domain"].to_pylist())
    rollout, scoring = params[RolloutParams], params[ScoringParams]
    try:
        if request.max_new_tokens is not None:
            rollout = RolloutParams(**{**dict(rollout), "max_new_tokens": request.max_new_tokens})
        scoring = _scoring(scoring, request.verifier, domains)
        evaluation = _evaluation(params[EvaluationParams], request.samples, sorted(set(request.ks)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        raise PolyEpoError(first["msg"], where=where, value=first["input"], remedy="see --help") from error
    return Plan(problems_file, label, evaluation, rollout, scoring, state)


def evaluate_model(model: str, plan: Plan, params: Params, out: Path | None = None) -> Path:
    """Evaluate the model that ``model`` names; samples what is missing, measures, publishes.

    Returns:
        The evaluation's directory: ``out``, or one named by the set and the policy.

    Raises:
        PolyEpoError: the model cannot be found or sampled.
    """
    policy = find_policy(model, params, plan.state / "models")
    target = out or plan.directory(content_digest(policy))

    def engine() -> RolloutEngine:
        from components.policy.determinism import compute_deterministically  # noqa: PLC0415 - seconds to load, and not needed where the samples stand

        compute_deterministically(plan.evaluation.threads)
        return get_engine(plan.rollout)

    evaluate(
        policy,
        plan.problems_file,
        target,
        params=plan.evaluation,
        scoring=plan.scoring,
        engine=engine,
        rollout_settings=plan.rollout.model_dump(),
        top_up=True,
    )
    return target


def evaluate_import(file: Path, plan: Plan, out: Path | None = None, *, samples: int | None = None) -> Path:
    """Judge and measure the samples that ``file`` holds (components.evaluation.interchange).

    Args:
        file: plain JSON lines, or samples_*.jsonl of lm-evaluation-harness.
        plan: the problems, and how they are judged and measured.
        out: directory to publish; by default one named by the set and the file.
        samples: use the first so many of each problem; by default all.

    Raises:
        PolyEpoError: the file is malformed, or does not fit the problems.
    """
    problems = plan.problems()
    imported = read_samples(file, problems, samples=samples)
    source, dataset = content_digest(file), content_digest(plan.problems_file)
    target = out or plan.directory(f"import-{source}")
    evaluation = _evaluation(
        plan.evaluation, imported.samples, [k for k in plan.evaluation.ks if k <= imported.samples]
    )
    content = fingerprint("import", evaluation.model_dump(), plan.scoring.identity(), dataset, source)
    if not is_published(target, content):
        publish_measured(
            target,
            imported.rollouts,
            problems,
            params=evaluation,
            scoring=plan.scoring,
            content=content,
            conditions={**imported.sampling, "dataset": dataset, "policy": f"import:{source}"},
            facts={"imported": source},
        )
    return target


def _problem_file(request: Request, sets: Path) -> tuple[Path, str]:
    if request.problems is not None and request.set_name is not None:
        raise PolyEpoError("give --problems or --set, not both", where="--set", value=request.set_name)
    if request.problems is not None:
        return problems_of_file(request.problems, sets), request.problems.stem
    name = request.set_name or "test"
    if name not in _HELD_OUT:
        return named_set(name, sets), name
    if not _HELD_OUT[name].is_file():
        raise PolyEpoError(
            f"the pipeline's {name} split is not made yet",
            where=str(_HELD_OUT[name]),
            remedy="run `poly-epo run` or `python -m components.data --out workspace/data`, or name a set with --set",
        )
    return _HELD_OUT[name], name


def _scoring(scoring: ScoringParams, verifier: str | None, domains: set[str]) -> ScoringParams:
    """The params with the verifier that fits the problems, where the user names none."""
    foreign = domains - set(DOMAINS)
    if verifier is None and scoring.verifier == "domain" and foreign:
        fitting = {_VERIFIER_OF_DOMAIN.get(domain, "math_verify") for domain in domains if domain in foreign}
        if len(fitting) > 1 or foreign != domains:
            raise PolyEpoError(
                "the problems need different verifiers",
                where="--problems",
                value=sorted(domains),
                remedy="give them in several files, or name one verifier with --verifier",
            )
        verifier = fitting.pop()
    if verifier is None:
        return scoring
    values = {**scoring.model_dump(), "verifier": verifier}
    # Only our domains and the user's own verifiers name strategies.
    if verifier in ("exact", "math_verify", "reasoning_gym") and values["clusterer"] == "strategy":
        values["clusterer"] = "answer"
    return ScoringParams(**values)


def _evaluation(params: EvaluationParams, samples: int | None, ks: Sequence[int]) -> EvaluationParams:
    drawn = samples if samples is not None else max([params.samples, *ks])
    if ks and max(ks) > drawn:
        raise PolyEpoError(
            f"k must be at most the {drawn} samples per problem",
            where="--ks",
            value=max(ks),
            remedy=f"raise --samples to {max(ks)}: only the missing ones are sampled",
        )
    values = params.limited_to(drawn).model_dump()
    return EvaluationParams(**{**values, "ks": list(ks)} if ks else values)
