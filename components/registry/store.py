"""The only place that talks to MLflow's registry: versions, aliases and what is kept with a version.

A version is an MLflow LoggedModel: the policy directory is copied file by file into the artifact store, its weights
are never loaded. Its identity is the digest of the policy directory: the same policy is registered once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError
from components.registry.evidence import Evidence
from components.tracking.client import Store, connect, translated
from components.tracking.params import TrackingParams

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Models", "Version", "open_models"]

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
POLICY_TAG = "poly_epo.policy"
_KEPT = "poly_epo"  # artifact folder beside the policy's own files
_EVIDENCE = "evidence.json"
_CARD = "model_card.md"
_DESCRIPTION_LENGTH = 5000  # MLflow's limit


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes:
        number: 1, 2, ...
        policy: digest of its policy directory ("" for a version made by hand).
        source: where its files are.
        run_id: the MLflow run that made it, if known.
        aliases: champion, challenger, previous.
        tags: all tags.
    """

    number: int
    policy: str
    source: str
    run_id: str | None = None
    aliases: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


def open_models(tracking: TrackingParams, name: str) -> Models:
    """The registered model ``name`` in the store of ``tracking``; made if it is missing.

    Raises:
        TrackingUnavailable: MLflow cannot be reached.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - importing MLflow takes seconds

    store = connect(tracking)
    with translated(store.uri):
        try:
            store.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    return Models(store, name)


class Models:
    """Versions and aliases of one registered model. Every method raises TrackingUnavailable when MLflow fails."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        with translated(self.store.uri):
            aliases = self.store.client.get_registered_model(self.name).aliases
            found: list[Any] = []
            token = None
            while True:
                page = self.store.client.search_model_versions(f"name = '{self.name}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    break
        by_number: dict[int, list[str]] = {}
        for alias, number in aliases.items():
            by_number.setdefault(int(number), []).append(alias)
        versions = [
            Version(
                number=int(entry.version),
                policy=entry.tags.get(POLICY_TAG, ""),
                source=entry.source,
                run_id=entry.run_id or None,
                aliases=sorted(by_number.get(int(entry.version), [])),
                tags=dict(entry.tags),
            )
            for entry in found
        ]
        return sorted(versions, key=lambda version: version.number)

    def find(self, policy: str) -> Version | None:
        """The version of the policy with this digest."""
        return next((version for version in self.versions() if version.policy == policy), None)

    def with_alias(self, alias: str) -> Version | None:
        """The version that carries ``alias``."""
        return next((version for version in self.versions() if alias in version.aliases), None)

    def get(self, number: int) -> Version:
        """Version ``number``; raises PolyEpoError when there is none."""
        versions = self.versions()
        for version in versions:
            if version.number == number:
                return version
        raise PolyEpoError(
            f"model {self.name!r} has no such version",
            where="registry",
            value=number,
            remedy=f"versions: {', '.join(str(version.number) for version in versions) or 'none yet'}",
        )

    def add(self, directory: Path, policy: str, run_id: str | None) -> Version:
        """Copy the policy directory into the artifact store and register it as the next version."""
        client = self.store.client
        with translated(self.store.uri):
            models = client.search_logged_models([self.store.experiment_id], f"tags.`{POLICY_TAG}` = '{policy}'")
            # A copy that a kill cut short is found again and overwritten, not left beside a second one.
            model = (
                models[0]
                if models
                else client.create_logged_model(
                    self.store.experiment_id, name=self.name, source_run_id=run_id, tags={POLICY_TAG: policy}
                )
            )
            if model.status != "READY":
                client.log_model_artifacts(model.model_id, str(directory))
                client.finalize_logged_model(model.model_id, "READY")
            made = client.create_model_version(
                self.name,
                model.artifact_location,
                run_id=run_id or model.source_run_id,
                tags={POLICY_TAG: policy, "poly_epo.model_id": model.model_id},
                model_id=model.model_id,
            )
        return self.get(int(made.version))

    def keep(self, version: Version, evidence: Evidence, card: str) -> None:
        """Store what the version was judged by, and its model card (also as the version's description)."""
        client = self.store.client
        with tempfile.TemporaryDirectory() as name, translated(self.store.uri):
            directory = Path(name)
            (directory / _EVIDENCE).write_text(evidence.to_json(), encoding="utf-8")
            (directory / _CARD).write_text(card, encoding="utf-8")
            client.log_model_artifacts(version.tags["poly_epo.model_id"], name, _KEPT)
            client.update_model_version(self.name, str(version.number), card[:_DESCRIPTION_LENGTH])

    def evidence(self, version: Version) -> Evidence:
        """What `keep` stored; raises PolyEpoError when the version has none."""
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as name:
            uri = f"{version.source.rstrip('/')}/{_KEPT}/{_EVIDENCE}"
            with translated(self.store.uri):
                path = download_artifacts(artifact_uri=uri, dst_path=name, tracking_uri=self.store.uri)
            return Evidence.from_json(Path(path).read_text(encoding="utf-8"))

    def set_tags(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with translated(self.store.uri):
            for key, value in tags.items():
                self.store.client.set_model_version_tag(self.name, str(version.number), key, value)

    def move(self, alias: str, version: Version) -> None:
        """Point ``alias`` at ``version``: one atomic change in MLflow's database."""
        with translated(self.store.uri):
            self.store.client.set_registered_model_alias(self.name, alias, str(version.number))

    def drop(self, alias: str) -> None:
        """Remove an alias; nothing happens when it is not set."""
        with translated(self.store.uri):
            self.store.client.delete_registered_model_alias(self.name, alias)
