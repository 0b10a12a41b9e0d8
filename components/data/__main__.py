"""Make the problems of a run: ``python -m components.data --params params.yaml --out workspace/data``."""

from __future__ import annotations

from pathlib import Path

from components.command import component_parser, run_command
from components.data.params import DataParams
from components.data.stage import make_data
from components.params import load_params


def main() -> None:
    parser = component_parser("Make, de-duplicate and split the problems; write worked solutions for the warm start.")
    parser.add_argument("--out", type=Path, required=True, help="directory to publish, e.g. workspace/data")
    arguments = parser.parse_args()
    make_data(load_params(arguments.params)[DataParams], arguments.out)


if __name__ == "__main__":
    run_command(main)
