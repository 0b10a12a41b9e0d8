"""The model registry's command line.

    python -m components.registry register --evaluations workspace/evaluation \\
        --policy workspace/improve/poly_epo/final --candidate poly_epo --out workspace/promotion
    python -m components.registry list
    python -m components.registry show|card|lineage 3
    python -m components.registry promote challenger
    python -m components.registry rollback
    python -m components.registry fetch champion --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from components.command import component_parser, run_command
from components.errors import PolyEpoError
from components.params import Params, load_params
from components.registry.aliases import list_versions, open_registry, promote, rollback
from components.registry.lineage import DVC_LOCK
from components.registry.register import register
from components.registry.show import card, kept_text, lineage, version_page, versions_table


def main() -> None:
    options = _parser().parse_args()
    print(_ACTIONS[options.action](load_params(options.params), options))  # noqa: T201 - the command's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="poly-epo models", description="Register, promote and roll back policies.")
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, parents=[component_parser("")], add_help=False)

    entry = action("register", "register a policy; the gate decides whether it becomes champion")
    entry.add_argument("--evaluations", type=Path, default=Path("workspace/evaluation"))
    entry.add_argument("--policy", type=Path, required=True, help="policy directory to register")
    entry.add_argument("--candidate", required=True, help="the arm it comes from")
    entry.add_argument("--out", type=Path, default=Path("workspace/promotion"), help="directory of the decision")
    entry.add_argument("--sets", type=Path, default=Path("workspace/sets"), help="the gate's other evaluation sets")
    entry.add_argument("--reports", type=Path, default=Path("reports"))
    entry.add_argument("--state", type=Path, default=Path(".poly-epo/tracking"))
    action("list", "versions: aliases, pass@k with intervals, data")
    action("rollback", "make the previous champion champion again")
    for name, text in _ON_ONE.items():
        chosen = action(name, text)
        chosen.add_argument("version", help="a number, an alias, or the first digits of a policy digest")
        if name == "fetch":
            chosen.add_argument("--out", type=Path, required=True, help="directory to make")
        if name == "lineage":
            chosen.add_argument("--dvc-lock", action="store_true", help="print the dvc.lock kept with the version")
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
        sets=options.sets,
    )
    lines = [f"  {'passed' if check.passed else 'FAILED'}  {check.reason}" for check in decision.checks]
    return "\n".join([f"{decision.verdict}: {decision.policy[:12]}, {decision.why}", *lines])


def _list(params: Params, _: argparse.Namespace) -> str:
    return versions_table(list_versions(params))


def _show(params: Params, options: argparse.Namespace) -> str:
    models = open_registry(params)
    return version_page(models, models.get(options.version))


def _card(params: Params, options: argparse.Namespace) -> str:
    models = open_registry(params)
    return card(models, models.get(options.version))


def _lineage(params: Params, options: argparse.Namespace) -> str:
    models = open_registry(params)
    version = models.get(options.version)
    return kept_text(models, version, DVC_LOCK).rstrip("\n") if options.dvc_lock else lineage(models, version)


def _promote(params: Params, options: argparse.Namespace) -> str:
    return f"version {promote(params, options.version).number} is champion"


def _rollback(params: Params, _: argparse.Namespace) -> str:
    return f"version {rollback(params).number} is champion again"


def _fetch(params: Params, options: argparse.Namespace) -> str:
    if options.out.exists() and any(options.out.iterdir()):
        raise PolyEpoError("not empty", where=str(options.out), remedy="name a directory that does not exist")
    models = open_registry(params)
    version = models.get(options.version)
    models.fetch(version, options.out)
    return f"version {version.number} is at {options.out}"


_ON_ONE = {
    "show": "one version: where it is, and why it was promoted or refused",
    "card": "its model card",
    "lineage": "back to data, code, environment and params; forward to its evaluations",
    "promote": "make a version champion by hand",
    "fetch": "copy a version's policy directory out of the registry",
}
_ACTIONS = {
    "register": _register,
    "list": _list,
    "show": _show,
    "card": _card,
    "lineage": _lineage,
    "promote": _promote,
    "rollback": _rollback,
    "fetch": _fetch,
}


if __name__ == "__main__":
    run_command(main)
