"""Score rollouts: ``python -m components.scoring --rollouts FILE --problems FILE --objective JSON --out DIR``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from components.command import component_parser, run_command
from components.errors import PolyEpoError
from components.manifest import fingerprint, publish, write_json
from components.params import load_params
from components.records import PROBLEM, ROLLOUT, SCORED_ROLLOUT, problems_from_table, read_records, write_records
from components.scoring.params import ScoringParams
from components.scoring.scorer import Scorer


def main() -> None:
    parser = component_parser("Reward, cluster and score rollouts; writes DIR/scored.parquet and DIR/metrics.json.")
    parser.add_argument("--rollouts", type=Path, required=True, help="rollouts.parquet")
    parser.add_argument("--problems", type=Path, required=True, help="the problems they were sampled from")
    parser.add_argument("--objective", required=True, help="""JSON, e.g. '{"name": "poly_epo", "set_size": 4}'""")
    parser.add_argument("--out", type=Path, required=True, help="directory to publish")
    arguments = parser.parse_args()
    params = load_params(arguments.params)[ScoringParams]
    objective = _objective(arguments.objective)
    rollouts = read_records(arguments.rollouts, ROLLOUT)
    problems = problems_from_table(read_records(arguments.problems, PROBLEM))
    with Scorer(params, objective) as scorer:
        batch = scorer.score(rollouts, problems)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (arguments.rollouts, arguments.problems)]
    content = fingerprint(params.identity(), objective, digests)
    with publish(arguments.out, fingerprint=content, facts={"rows": batch.table.num_rows}) as directory:
        write_records(directory / "scored.parquet", batch.table, SCORED_ROLLOUT)
        write_json(directory / "metrics.json", batch.metrics)


def _objective(text: str) -> dict[str, Any]:
    try:
        objective = json.loads(text)
    except ValueError:
        objective = None
    if not isinstance(objective, dict) or "name" not in objective:
        raise PolyEpoError("not a JSON object with a name", where="--objective", value=text)
    return objective


if __name__ == "__main__":
    run_command(main)
