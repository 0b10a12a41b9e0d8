"""Gate the problems of a run: ``python -m components.data.gates problems --data workspace/data --out DIR``.

With ``--against FILE`` the training problems are also compared with an evaluation set of one's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa

from components.command import component_parser, run_command
from components.data.gates.external import refuse_contamination
from components.data.gates.run import run_gate
from components.errors import PolyEpoError
from components.manifest import read_manifest
from components.params import load_params
from components.records import PROBLEM, Split, read_records

DOCS = Path(".poly-epo/data_docs")


def main() -> None:
    parser = component_parser("Check the problems of all splits; stop the pipeline where an expectation fails.")
    parser.add_argument("gate", choices=["problems"], help="the table to check; the others are checked in the loop")
    parser.add_argument("--data", type=Path, required=True, help="published data directory, e.g. workspace/data")
    parser.add_argument("--out", type=Path, required=True, help="directory to publish result.json in")
    parser.add_argument("--docs", type=Path, default=None, help=f"Data Docs directory (default: {DOCS}/problems-ID)")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="problems (Parquet, JSONL or CSV) that must not be among the training problems; repeatable",
    )
    gate(parser.parse_args())


def gate(arguments: argparse.Namespace) -> None:
    load_params(arguments.params)  # a faulty params file stops every stage alike
    manifest = read_manifest(arguments.data, verify=True)
    if manifest is None:
        raise PolyEpoError("no published data", where=str(arguments.data), remedy="run the data stage first")
    # One directory per version of the data: the pages of earlier runs are kept.
    docs = arguments.docs or DOCS / f"problems-{manifest.digest[:12]}"
    table = pa.concat_tables(_split(arguments.data, split) for split in Split)
    for file in arguments.against:
        refuse_contamination(read_records(arguments.data / "train.parquet", PROBLEM), file)
    run_gate(
        "problems", table, result_dir=arguments.out, docs_dir=docs, where=str(arguments.data), inputs=manifest.digest
    )


def _split(data: Path, split: Split) -> pa.Table:
    path = data / f"{split}.parquet"
    table = read_records(path, PROBLEM)
    other = next((name for name in table["split"].to_pylist() if name != split), None)
    if other is not None:
        raise PolyEpoError(
            f"holds a problem of split {other!r}", where=str(path), remedy="remove the data directory and make it again"
        )
    return table


if __name__ == "__main__":
    run_command(main)
