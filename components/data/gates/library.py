"""The one place that imports Great Expectations: validate a frame, and write the Data Docs of one run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.data.gates.expectations import Expected

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Outcome", "validate"]


@dataclass(frozen=True)
class Outcome:
    """How one expectation ended.

    Attributes:
        expected: the expectation.
        success: whether it holds for every row.
        rows: indices of the rows it fails for, in order; empty for an expectation on a whole column or table.
        values: the values at those rows, or the one observed value (of a column or table), or what it lacks.
    """

    expected: Expected
    success: bool
    rows: list[int]
    values: list[Any]


def validate(name: str, frame: pd.DataFrame, expected: Sequence[Expected], docs_dir: Path | None) -> list[Outcome]:
    """Validate ``frame``; with ``docs_dir`` also write the result there as HTML (index.html)."""
    # Before the import: the library sends usage statistics unless it is told not to.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Imported when a gate runs: it takes seconds, and nothing else needs it.
    import great_expectations as gx  # noqa: PLC0415

    context = _context()
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    batches = asset.add_batch_definition_whole_dataframe("whole")
    suite = gx.ExpectationSuite(name=name, expectations=[_expectation(entry) for entry in expected])
    results: Any
    if docs_dir is None:
        results = batches.get_batch({"dataframe": frame}).validate(suite, result_format="COMPLETE").results
    else:
        results = _with_docs(context, batches, context.suites.add(suite), frame, docs_dir)
    # The library groups results by column: they are put back into the order of the expectations.
    by_key = {_key(result.expectation_config.type, result.expectation_config.kwargs): result for result in results}
    return [_outcome(entry, by_key[_key(_snake(entry.kind), entry.arguments)]) for entry in expected]


def _context() -> Any:
    """A context in memory alone: no progress bars, and no temporary directory for pages nobody asked for."""
    import great_expectations as gx  # noqa: PLC0415
    from great_expectations.data_context.types import base  # noqa: PLC0415

    stores = base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    config = base.DataContextConfig(
        store_backend_defaults=stores, progress_bars=base.ProgressBarsConfig(globally=False)
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _with_docs(context: Any, batches: Any, suite: Any, frame: pd.DataFrame, docs_dir: Path) -> Any:
    import great_expectations as gx  # noqa: PLC0415
    from great_expectations.checkpoint.actions import UpdateDataDocsAction  # noqa: PLC0415

    docs_dir.mkdir(parents=True, exist_ok=True)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs_dir.resolve())}
    context.add_data_docs_site(
        "gate",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": store,
        },
    )
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=batches, suite=suite))
    checkpoint = gx.Checkpoint(
        name=suite.name,
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="docs", site_names=["gate"])],
        result_format="COMPLETE",
    )
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
    return next(iter(run.run_results.values())).results


def _expectation(entry: Expected) -> Any:
    from great_expectations import expectations as library  # noqa: PLC0415

    return getattr(library, entry.kind)(**entry.arguments, notes=f"{entry.meaning}. If not: {entry.remedy}.")


def _snake(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).removeprefix("_")


def _key(kind: str, arguments: dict[str, Any]) -> tuple[str, str]:
    """Type and column tell the expectations of one gate apart."""
    return kind, str(arguments.get("column", ""))


def _outcome(entry: Expected, result: Any) -> Outcome:
    details = result.result
    rows = list(details.get("unexpected_index_list") or [])
    observed = details.get("observed_value")
    if observed is None:
        observed = {"missing": details.get("partial_missing_list")}
    values = list(details.get("unexpected_list") or []) or [observed]
    return Outcome(entry, bool(result.success), rows, values)
