"""Train one arm from the base policy, without any server: the plain loop over the session's steps.

    python -m components.improve --arm poly_epo --base workspace/base --problems workspace/data \\
        --out workspace/improve/poly_epo
"""

from __future__ import annotations

import logging
from pathlib import Path

from components.command import component_parser, run_command
from components.params import load_params

log = logging.getLogger(__name__)


def main() -> None:
    parser = component_parser("Train one arm: rollout -> score -> update, many times; resumes where it was stopped.")
    parser.add_argument("--arm", required=True, help="a key of section `arms` of the params")
    parser.add_argument("--base", type=Path, required=True, help="policy directory to start from")
    parser.add_argument("--problems", type=Path, required=True, help="directory published by the data stage")
    parser.add_argument("--out", type=Path, required=True, help="the arm's workspace")
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    from components.improve.session import Session  # noqa: PLC0415  (torch: only once the params are known to be good)

    with Session.open(
        params, arm=arguments.arm, base=arguments.base, problems=arguments.problems, out=arguments.out
    ) as session:
        for step in session.pending_steps():
            metrics = session.run(step)
            if step.name in ("score", "evaluate"):
                log.info("%s %s: %s", arguments.arm, step, _shown(metrics))
        session.finish()


def _shown(metrics: dict[str, float]) -> str:
    keys = ("reward_mean", "coverage", "distinct_correct", "pass@1", "pass@32")
    return ", ".join(f"{key} {metrics[key]:.3f}" for key in keys if key in metrics)


if __name__ == "__main__":
    run_command(main)
