"""Remove what nobody uses any more: ``python -m components.registry.prune --keep-last 5 --dry-run``."""

from __future__ import annotations

from pathlib import Path

from components.command import component_parser, run_command
from components.params import load_params
from components.registry.retention import Plan, make_plan, prune

__all__ = ["plan_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB")


def main() -> None:
    """The command line."""
    parser = component_parser(
        "Remove old versions of the registered model, old sampled rollouts in MLflow and unused objects of DVC's "
        "cache; never what an alias, an open run or a dvc.lock refers to."
    )
    parser.prog = "poly-epo prune"
    parser.add_argument(
        "--keep-last", type=int, required=True, metavar="K", help="versions and retrains kept in any case"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    parser.add_argument("--no-cache", action="store_true", help="leave DVC's cache alone")
    parser.add_argument(
        "--grace-minutes", type=float, default=60.0, metavar="M", help="leave younger cache objects alone (default 60)"
    )
    options = parser.parse_args()
    plan = (make_plan if options.dry_run else prune)(
        load_params(options.params),
        Path(),
        keep_last=options.keep_last,
        cache=not options.no_cache,
        grace_seconds=60 * options.grace_minutes,
    )
    print(plan_text(plan, dry_run=options.dry_run))  # noqa: T201 - the command's answer


def plan_text(plan: Plan, *, dry_run: bool) -> str:
    """What goes with its bytes, and what stays although it is old, with the reason."""
    gone = [
        *((f"version {number} ({v.policy[:12]})", size) for number, (v, size) in plan.versions.items()),
        *((f"files of a version that is gone ({model_id})", size) for model_id, size in plan.left_over.items()),
        *plan.rollouts.values(),
    ]
    if plan.objects:
        gone.append((f"{len(plan.objects)} objects of DVC's cache", sum(entry.size for entry in plan.objects)))
    title = "would remove" if dry_run else "removed"
    lines = [f"{title} {amount(plan.total)}:" if gone else f"{title} nothing"]
    lines += [f"  {amount(size):>9}  {name}" for name, size in gone]
    lines += ["kept:", *(f"  {kept.name}: {kept.why}" for kept in plan.kept)] if plan.kept else []
    return "\n".join(lines)


def amount(size: int) -> str:
    """Bytes with a unit, e.g. ``12.3 MB``."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


if __name__ == "__main__":
    run_command(main)
