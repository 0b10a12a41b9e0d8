"""The model registry's command line.

    python -m components.registry register --evaluations workspace/evaluation \\
        --policy workspace/improve/poly_epo/final --candidate poly_epo --out workspace/promotion
    python -m components.registry list
    python -m components.registry promote 3
    python -m components.registry rollback
"""

from __future__ import annotations

import argparse
from pathlib import Path

from components.command import component_parser, run_command
from components.params import Params, load_params
from components.registry.aliases import list_versions, promote, rollback
from components.registry.register import register


def main() -> None:
    options = _parser().parse_args()
    params = load_params(options.params)
    actions = {"register": _register, "list": _list, "promote": _promote, "rollback": _rollback}
    print(actions[options.action](params, options))  # noqa: T201 - the command's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Register, promote and roll back policies.")
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, parents=[component_parser("")], add_help=False)

    entry = action("register", "register a policy; the gate decides whether it becomes champion")
    entry.add_argument("--evaluations", type=Path, default=Path("workspace/evaluation"))
    entry.add_argument("--policy", type=Path, required=True, help="policy directory to register")
    entry.add_argument("--candidate", required=True, help="the arm it comes from")
    entry.add_argument("--out", type=Path, default=Path("workspace/promotion"), help="directory of the decision")
    entry.add_argument("--reports", type=Path, default=Path("reports"))
    entry.add_argument("--state", type=Path, default=Path(".poly-epo/tracking"))
    action("list", "versions with their aliases")
    chosen = action("promote", "make a version champion by hand")
    chosen.add_argument("version", type=int)
    action("rollback", "make the previous champion champion again")
    return parser


def _register(params: Params, options: argparse.Namespace) -> str:
    decision = register(
        params,
        evaluations=options.evaluations,
        policy=options.policy,
        candidate=options.candidate,
        out=options.out,
        reports=options.reports,
        state=options.state,
    )
    return "\n".join([f"{decision.verdict}: {decision.policy[:12]}", *(f"  {reason}" for reason in decision.reasons)])


def _list(params: Params, _: argparse.Namespace) -> str:
    rows = [
        f"{version.number:>7}  {version.policy[:12] or '-':<12}  {version.tags.get('poly_epo.verdict', '-'):<9}  "
        f"{', '.join(version.aliases)}"
        for version in list_versions(params)
    ]
    return "\n".join(["version  policy        verdict    aliases", *rows]) if rows else "no versions yet"


def _promote(params: Params, options: argparse.Namespace) -> str:
    return f"version {promote(params, options.version).number} is champion"


def _rollback(params: Params, _: argparse.Namespace) -> str:
    return f"version {rollback(params).number} is champion again"


if __name__ == "__main__":
    run_command(main)
