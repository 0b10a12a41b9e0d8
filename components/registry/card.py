"""The model card of a version: facts alone, in Markdown, short enough for MLflow's description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.params import Params
from components.registry.evidence import Evidence
from components.registry.gate import Decision

__all__ = ["decision_markdown", "model_card"]

_SECTIONS = ("policy", "improve", "training", "scoring", "rollout")


def model_card(params: Params, candidate: str, evidence: Evidence, metrics: Mapping[str, Any]) -> str:
    """What the policy is, what it was trained on and with, how it measures, and where that stops holding."""
    objective = params.as_dict()["arms"][candidate]["objective"]
    return "\n".join(
        [
            f"# Policy of the arm `{candidate}`",
            "",
            f"Objective: `{_inline(objective)}`; set reinforcement learning as in Poly-EPO, arXiv 2604.17654.",
            "",
            f"- policy digest: `{evidence.policy}`",
            f"- evaluation problems: `{evidence.dataset}`",
            "",
            "## Evaluation",
            "",
            *_measured(metrics),
            "",
            "## Limits",
            "",
            "- The figures hold for the evaluation problems above, sampled at temperature 1 without truncation; "
            "other problems were not measured.",
            "- Intervals are bootstrap intervals over problems; they do not hold the variation between training seeds.",
            "- Completions are not filtered: treat them as untrusted text.",
            "",
            "## Parameters",
            "",
            *_parameters(params),
            "",
        ]
    )


def decision_markdown(decision: Decision) -> str:
    """The decision for people: verdict, table, reasons."""
    lines = [
        f"# Promotion: {decision.verdict}",
        "",
        f"Challenger `{decision.policy[:12]}` against the {decision.incumbent_is} `{decision.incumbent[:12]}` on "
        f"{decision.problems} problems.",
        "",
    ]
    if decision.pass_at_k:
        lines += [
            f"| metric | challenger | incumbent | difference | {decision.confidence:.0%} interval | margin | passed |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| pass@{k} | {c.challenger:.3f} | {c.incumbent:.3f} | {c.difference:+.3f} | "
                f"{c.low:+.3f} to {c.high:+.3f} | {c.margin:+.3f} | {'yes' if c.passed else 'no'} |"
                for k, c in decision.pass_at_k.items()
            ),
            "",
        ]
    return "\n".join([*lines, *(f"- {reason}" for reason in decision.reasons), ""])


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    intervals = {name: value for name, value in metrics.items() if isinstance(value, dict) and "value" in value}
    header = [
        f"{metrics.get('problems')} problems, {metrics.get('samples')} samples each; distinct correct clusters among "
        f"{metrics.get('distinct_samples')}.",
        "",
        f"| metric | value | {metrics.get('confidence', 0.95):.0%} interval |",
        "|---|---|---|",
    ]
    return header + [
        f"| {name} | {v['value']:.3f} | {v['low']:.3f} to {v['high']:.3f} |" for name, v in intervals.items()
    ]


def _parameters(params: Params) -> list[str]:
    sections = params.as_dict()
    return [f"- {name}: `{_inline(sections[name])}`" for name in _SECTIONS if name in sections]


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_inline(v) if isinstance(v, dict) else v}" for key, v in values.items())
