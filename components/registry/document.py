"""The gate's decision for people: decision.md."""

from __future__ import annotations

from components.registry.gate import Check, Decision

__all__ = ["decision_markdown"]


def decision_markdown(decision: Decision) -> str:
    """Verdict, every check with its numbers, and in plain words why."""
    lines = [
        f"# Promotion: {decision.verdict}",
        "",
        f"Challenger `{decision.policy[:12]}` against the {decision.incumbent_is} `{decision.incumbent[:12]}` on "
        f"{decision.problems} problems with {decision.samples} samples each: {decision.why}.",
        "",
    ]
    if decision.checks:
        lines += [
            f"| check | challenger | incumbent | difference | {decision.confidence:.0%} interval | limit | passed |",
            "|---|---:|---:|---:|---:|---:|---|",
            *(_row(check) for check in decision.checks),
            "",
        ]
    for title, passed in (("Why not", False), ("What holds", True)):
        sentences = [f"- {_sentence(check.reason)}" for check in decision.checks if check.passed is passed]
        if sentences:
            lines += [f"## {title}", "", *sentences, ""]
    lines += [_consequence(decision), ""]
    return "\n".join(lines)


def _row(check: Check) -> str:
    interval = f"{_number(check.low, '+')} to {_number(check.high, '+')}" if check.low is not None else ""
    cells = [
        check.name.replace("|", "\\|"),
        _number(check.challenger),
        _number(check.incumbent),
        _number(check.difference, "+"),
        interval,
        _number(check.limit),
        "yes" if check.passed else "**no**",
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    return str(value) if isinstance(value, int) else f"{round(value, 3) + 0.0:{sign}.3f}"


def _sentence(text: str) -> str:
    capital = text if text.startswith("pass@") else f"{text[0].upper()}{text[1:]}"
    return f"{capital}."


def _consequence(decision: Decision) -> str:
    return {
        "promoted": "The challenger is champion from now on; `poly-epo models rollback` undoes it.",
        "refused": f"The {decision.incumbent_is} stays; this version keeps the alias `challenger`. To promote it "
        "all the same: `poly-epo models promote challenger`.",
    }.get(decision.verdict, "Nothing changes.")
