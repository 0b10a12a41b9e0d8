"""Send what is new in the workspace to MLflow.

    python -m components.tracking sync --params params.yaml --workspace workspace --reports reports \\
        --state .poly-epo/tracking [--tag flow_run_id=...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from components.command import component_parser, run_command
from components.errors import PolyEpoError
from components.params import load_params
from components.tracking.sync import sync


def main() -> None:
    parser = component_parser("Replay the workspace into MLflow; repeat it as often as you like.")
    parser.add_argument("action", choices=["sync"])
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--state", type=Path, default=Path(".poly-epo/tracking"))
    parser.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="tag of the parent run")
    options = parser.parse_args()
    report = sync(
        load_params(options.params),
        workspace=options.workspace,
        reports=options.reports,
        state=options.state,
        tags=_tags(options),
    )
    print(f"{report.points} new metric values in {len(report.runs)} runs")  # noqa: T201 - the command's answer
    print(report.address)  # noqa: T201


def _tags(options: argparse.Namespace) -> dict[str, str]:
    pairs = [text.partition("=") for text in options.tag]
    for name, separator, value in pairs:
        if not name or not separator:
            raise PolyEpoError("a tag must be NAME=VALUE", where="--tag", value=name + separator + value)
    return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    run_command(main)
