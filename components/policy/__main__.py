"""Make the base policy: open or build the model, warm-start it if params say so, publish the directory.

python -m components.policy --data workspace/data --out workspace/base
"""

from __future__ import annotations

import logging
from pathlib import Path

from components.command import component_parser, run_command
from components.errors import PolyEpoError
from components.manifest import fingerprint, is_published, publish, read_manifest
from components.params import load_params
from components.policy.params import PolicyParams, TinySource
from components.records import DEMONSTRATION, PROBLEM, read_records

log = logging.getLogger(__name__)


def main() -> None:
    parser = component_parser("Make the base policy.")
    parser.add_argument("--data", type=Path, required=True, help="directory published by the data stage")
    parser.add_argument("--out", type=Path, required=True, help="policy directory to publish")
    arguments = parser.parse_args()
    params = load_params(arguments.params)[PolicyParams]
    make_base(params, arguments.data, arguments.out)


def make_base(params: PolicyParams, data: Path, out: Path) -> None:
    """Publish the base policy of ``params`` as ``out``; does nothing when it stands already."""
    manifest = read_manifest(data)
    if manifest is None:
        raise PolyEpoError("no data here", where=str(data), remedy="run the data stage first")
    made_from = fingerprint("base", params.model_dump(mode="json"), manifest.digest)
    if is_published(out, made_from):
        log.info("%s is up to date", out)
        return
    # Heavy imports only once there is work to do.
    from components.policy.determinism import compute_deterministically  # noqa: PLC0415
    from components.policy.load import save_policy  # noqa: PLC0415
    from components.policy.source import open_source  # noqa: PLC0415
    from components.policy.warm_start import encode_demonstrations, warm_start  # noqa: PLC0415

    compute_deterministically(params.threads)
    warm = params.warm_start if params.champion is None else None
    pairs = _demonstrations(data) if warm is not None else []
    texts = [text for pair in pairs for text in pair]
    if isinstance(params.source, TinySource) and params.champion is None:
        texts += _prompts(data)
    model, tokenizer = open_source(params, texts)
    facts: dict[str, object] = {"parameters": sum(weight.numel() for weight in model.parameters())}
    log.info("base policy: %s, %s parameters", type(model).__name__, f"{facts['parameters']:,}")
    if warm is not None:
        if not pairs:
            raise PolyEpoError(
                "no demonstrations to warm-start on", where=str(data), remedy="set policy.warm_start to null"
            )
        facts["warm_start_loss"] = warm_start(
            model,
            encode_demonstrations(tokenizer, pairs),
            warm,
            pad_id=int(tokenizer.pad_token_id),
            seed=params.seed,
        )
    with publish(out, fingerprint=made_from, facts=facts) as directory:
        save_policy(model, tokenizer, directory)
    log.info("published %s", out)


def _demonstrations(data: Path) -> list[tuple[str, str]]:
    table = read_records(data / "demonstrations.parquet", DEMONSTRATION)
    return list(zip(table["prompt"].to_pylist(), table["completion"].to_pylist(), strict=True))


def _prompts(data: Path) -> list[str]:
    splits = ("train", "validation", "test")
    return [
        prompt
        for split in splits
        for prompt in read_records(data / f"{split}.parquet", PROBLEM, columns=["prompt"])["prompt"].to_pylist()
    ]


if __name__ == "__main__":
    run_command(main)
