"""The model card of a version: facts alone, in Markdown, short enough for MLflow's description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.registry.evidence import Evidence

__all__ = ["CARD", "model_card"]

CARD = "model_card.md"

_SECTIONS = ("policy", "improve", "training", "scoring", "rollout")


def model_card(
    candidate: str,
    evidence: Evidence,
    metrics: Mapping[str, Any],
    lineage: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What the policy is, how it measures, where that stops holding, what it was made from, how to load it.

    Args:
        candidate: the arm.
        evidence: its evaluation by problem; ``metrics`` is that evaluation's metrics.json.
        lineage: see `gather_lineage`.
        history: evaluations on the validation split during training, oldest first.
    """
    params, code = lineage["params"], lineage["code"]
    sections = {
        "Evaluation": _measured(evidence, metrics),
        "Training": _curve(history),
        "Limits": _limits(evidence),
        "How to load it": [
            f"`poly-epo models fetch {evidence.policy[:12]} --out DIR`, then "
            "`AutoModelForCausalLM.from_pretrained(DIR)` and `AutoTokenizer.from_pretrained(DIR)`.",
        ],
        "Made from": [
            f"- data: `{lineage['data'].get('digest', '-')}`; evaluated on `{evidence.dataset}`",
            f"- base policy: `{lineage['base'] or '-'}`; this policy: `{evidence.policy}`",
            f"- code: git `{code['git_commit'] or '-'}`{' with uncommitted changes' if code['modified'] else ''}; "
            f"dvc.lock `{(lineage['dvc_lock'] or '-')[:16]}`",
        ],
        "Parameters": [f"- {name}: `{_inline(params[name])}`" for name in _SECTIONS if name in params],
    }
    title = [
        f"# Policy of the arm `{candidate}`",
        "",
        f"Objective: `{_inline(params['arms'][candidate]['objective'])}`; set reinforcement learning as in Poly-EPO, "
        "arXiv 2604.17654.",
        "",
    ]
    body = [line for name, lines in sections.items() if lines for line in (f"## {name}", "", *lines, "")]
    return "\n".join([*title, *body])


def _measured(evidence: Evidence, metrics: Mapping[str, Any]) -> list[str]:
    intervals = {name: value for name, value in metrics.items() if isinstance(value, dict) and "value" in value}
    ordered = sorted(intervals.items(), key=lambda item: _by_k(item[0]))
    return [
        f"{len(evidence.problems)} problems, {evidence.samples} samples each; distinct correct clusters among "
        f"{evidence.distinct_samples}; verifier failed or timed out on {evidence.unverified} completions.",
        "",
        f"| metric | value | {metrics.get('confidence', 0.95):.0%} interval |",
        "|---|---:|---:|",
        *(f"| {name} | {v['value']:.3f} | {v['low']:.3f} to {v['high']:.3f} |" for name, v in ordered),
    ]


def _curve(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """pass@k on the validation split at the start, the middle and the end of training."""
    rows = [history[index] for index in sorted({0, len(history) // 2, len(history) - 1})] if history else []
    ks = sorted((name for name in (rows[0] if rows else {}) if name.startswith("pass@")), key=_by_k)
    if not ks:
        return []
    return [
        f"| validation, iteration | {' | '.join(ks)} |",
        f"|---|{'---:|' * len(ks)}",
        *(f"| {row['iteration']} | {' | '.join(_value(row.get(k)) for k in ks)} |" for row in rows),
    ]


def _limits(evidence: Evidence) -> list[str]:
    conditions = evidence.conditions
    sampled = f"temperature {conditions.get('temperature', 1.0):g} and top_p {conditions.get('top_p', 1.0):g}"
    return [
        f"- The figures hold for the problems above, sampled at {sampled}; nothing else was measured.",
        "- Intervals are over problems; they do not hold the variation between training seeds.",
        "- Completions are not filtered: treat them as untrusted text.",
    ]


def _by_k(metric: str) -> tuple[str, int]:
    """Metrics by name, those of one name by their k: files keep them in the order of text, pass@16 before pass@2."""
    name, _, k = metric.partition("@")
    return name, int(k) if k.isdecimal() else 0


def _value(entry: Any) -> str:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_inline(v) if isinstance(v, dict) else v}" for key, v in values.items())
