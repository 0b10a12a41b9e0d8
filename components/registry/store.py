"""The only place that talks to MLflow's registry: versions, aliases and what is kept with a version.

A version is an MLflow LoggedModel: the policy directory is copied file by file into the artifact store, its weights
are never loaded. Its identity is the digest of the policy directory: the same policy is registered once.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError
from components.manifest import read_manifest
from components.registry.evidence import Evidence
from components.tracking.client import POLICY_TAG, Store, connect, translated
from components.tracking.params import TrackingParams

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "EVIDENCE",
    "KEPT",
    "MODEL_TAG",
    "PREVIOUS",
    "RETIRED_TAG",
    "Models",
    "Version",
    "open_models",
]

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
MODEL_TAG = "poly_epo.model_id"
RETIRED_TAG = "poly_epo.retired"
KEPT = "poly_epo"  # artifact folder beside the policy's own files
EVIDENCE = "evidence.json"
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
        created: milliseconds since 1970.
    """

    number: int
    policy: str
    source: str
    run_id: str | None = None
    aliases: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    created: int = 0


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
                created=int(entry.creation_timestamp or 0),
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

    def get(self, version: int | str) -> Version:
        """The version with this number, alias or policy digest (8 digits or more).

        Raises:
            PolyEpoError: there is none.
        """
        versions, wanted = self.versions(), str(version)
        for found in versions:
            by_digest = len(wanted) >= 8 and found.policy.startswith(wanted)
            if wanted == str(found.number) or wanted in found.aliases or by_digest:
                return found
        raise PolyEpoError(
            f"model {self.name!r} has no such version",
            where="registry",
            value=version,
            remedy=f"versions: {', '.join(str(found.number) for found in versions) or 'none yet'}",
        )

    def add(self, directory: Path, policy: str, run_id: str | None) -> Version:
        """Copy the policy directory into the artifact store and register it as the next version."""
        client = self.store.client
        with translated(self.store.uri):
            copies = client.search_logged_models([self.store.experiment_id], f"tags.`{POLICY_TAG}` = '{policy}'")
            models = [copy for copy in copies if RETIRED_TAG not in copy.tags]
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
            run = run_id or model.source_run_id
            made = client.create_model_version(
                self.name,
                model.artifact_location,
                run_id=run,
                tags={POLICY_TAG: policy, MODEL_TAG: model.model_id},
                # Without a run MLflow looks the logged model up in its global default store, not in this one.
                model_id=model.model_id if run else None,
            )
            first = self.find(policy)
            if first is not None and first.number != int(made.version):
                # Another process registered the same policy at the same time, and was first.
                client.delete_model_version(self.name, made.version)
                if first.tags.get(MODEL_TAG) != model.model_id:
                    client.set_logged_model_tags(model.model_id, {RETIRED_TAG: "yes"})
                return first
        return self.get(int(made.version))

    def keep(self, version: Version, files: Mapping[str, str]) -> None:
        """Store small text files with ``version``, below ``poly_epo/``; an older file of that name is replaced."""
        with tempfile.TemporaryDirectory() as name, translated(self.store.uri):
            for file, text in files.items():
                path = Path(name) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            self.store.client.log_model_artifacts(self._model_id(version), name, KEPT)

    def kept(self, version: Version, file: str) -> str | None:
        """A file that `keep` stored; None when there is none."""
        if file not in self.kept_names(version, str(Path(file).parent)):
            return None
        with tempfile.TemporaryDirectory() as name:
            return (self.download(version, Path(name), f"{KEPT}/{file}")).read_text(encoding="utf-8")

    def kept_names(self, version: Version, folder: str = ".") -> list[str]:
        """Names below ``poly_epo/`` of the files that `keep` stored in ``folder``."""
        if MODEL_TAG not in version.tags:  # made by hand in MLflow
            return []
        path = KEPT if folder == "." else f"{KEPT}/{folder}"
        with translated(self.store.uri):
            files = self.store.client.list_logged_model_artifacts(version.tags[MODEL_TAG], path)
        return [str(Path(file.path).relative_to(KEPT)) for file in files if not file.is_dir]

    def download(self, version: Version, target: Path, path: str = "") -> Path:
        """Fetch the version's files (or the one at ``path``) into the directory ``target``.

        Raises:
            PolyEpoError: the registry knows the version, but its files are gone.
        """
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415

        with translated(self.store.uri):
            if not self.store.client.list_logged_model_artifacts(self._model_id(version)):
                raise PolyEpoError(
                    f"the files of version {version.number} are gone",
                    where=version.source,
                    remedy="restore them from a backup, or promote another version with `poly-epo models promote`",
                )
            uri = f"{version.source.rstrip('/')}/{path}".rstrip("/")
            found = download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=self.store.uri)
        return Path(found)

    def fetch(self, version: Version, target: Path) -> None:
        """Copy the version's policy directory to ``target``, checked against its manifest.

        Raises:
            PolyEpoError: its files are gone, or are not those that were registered.
        """
        with tempfile.TemporaryDirectory(dir=_made(target.parent)) as name:
            # A server sends the folder's content, a local store the folder itself.
            found = self.download(version, Path(name))
            manifest = read_manifest(found, verify=True)
            if manifest is None or manifest.digest != version.policy:
                raise PolyEpoError(
                    f"the files of version {version.number} are not those that were registered",
                    where=version.source,
                    remedy="restore them from a backup, or register the policy again",
                )
            shutil.rmtree(found / KEPT, ignore_errors=True)
            shutil.copytree(found, target, dirs_exist_ok=True)

    def size_of(self, version: Version) -> int:
        """Bytes of the version's files."""
        return self.size(version.tags[MODEL_TAG]) if MODEL_TAG in version.tags else 0

    def size(self, model_id: str) -> int:
        """Bytes of a logged model's files."""
        folders: list[str | None] = [None]
        total = 0
        with translated(self.store.uri):
            while folders:
                for file in self.store.client.list_logged_model_artifacts(model_id, folders.pop()):
                    total += int(file.file_size or 0)
                    folders += [file.path] if file.is_dir else []
        return total

    def remove(self, number: int) -> bool:
        """Remove a retired version; its files become left over. False when an alias points at it."""
        version = self.get(number)
        if version.aliases:
            return False
        client = self.store.client
        with translated(self.store.uri):
            if MODEL_TAG in version.tags:
                client.set_logged_model_tags(version.tags[MODEL_TAG], {RETIRED_TAG: "yes"})
            client.delete_model_version(self.name, str(number))
        return True

    def left_over(self) -> list[str]:
        """Ids of the logged models that no version uses any more, and that are to be removed."""
        used = {version.tags.get(MODEL_TAG) for version in self.versions()}
        with translated(self.store.uri):
            found = self.store.client.search_logged_models([self.store.experiment_id], f"tags.`{RETIRED_TAG}` = 'yes'")
        return [model.model_id for model in found if model.model_id not in used]

    def remove_files(self, model_id: str) -> None:
        """Remove a logged model and its files."""
        client = self.store.client
        with translated(self.store.uri):
            location = client.get_logged_model(model_id).artifact_location
        self.store.remove_artifacts(location)
        with translated(self.store.uri):
            client.delete_logged_model(model_id)

    def describe(self, version: Version, text: str) -> None:
        """Show ``text`` (Markdown) on the version's page."""
        with translated(self.store.uri):
            self.store.client.update_model_version(self.name, str(version.number), text[:_DESCRIPTION_LENGTH])

    def evidence(self, version: Version, name: str = EVIDENCE) -> Evidence:
        """The evaluation kept with ``version``; raises PolyEpoError when there is none."""
        text = self.kept(version, name)
        if text is None:
            raise PolyEpoError(
                f"version {version.number} has no evaluation to be compared with",
                where="registry",
                remedy="promote by hand: `poly-epo models promote VERSION`",
            )
        return Evidence.from_json(text)

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

    def _model_id(self, version: Version) -> str:
        if MODEL_TAG not in version.tags:
            raise PolyEpoError(
                f"version {version.number} was not registered by this pipeline: its files are not known here",
                where="registry",
                remedy="register its policy with `python -m components.registry register`",
            )
        return version.tags[MODEL_TAG]


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
