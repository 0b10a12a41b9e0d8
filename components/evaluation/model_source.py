"""Whatever names a model -> its policy directory.

| written | means |
|---|---|
| ``path/to/policy`` | a directory in the Hugging Face format |
| ``path/to/model.gguf`` | a GGUF file, dequantized to float32 once |
| ``champion``, ``challenger``, ``previous``, ``3`` | the version of the registered model with this alias or number |
| ``models:/poly-epo@champion``, ``models:/poly-epo/3`` | the same, written as MLflow writes it |
| 32 hexadecimal digits | the version registered from this MLflow run |
| ``organisation/name`` or ``organisation/name@revision`` | a model of the Hugging Face hub |
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import PolyEpoError
from components.manifest import fingerprint, is_published, publish, read_manifest
from components.params import Params
from components.registry.params import RegistryParams

if TYPE_CHECKING:
    from components.registry.store import Models, Version

__all__ = ["find_policy"]

_ALIASES = ("champion", "challenger", "previous")
_URI = re.compile(r"models:/(?P<model>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<number>\d+))")
_RUN = re.compile(r"[0-9a-f]{32}")
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_FORMS = (
    "a policy directory, a GGUF file, champion, challenger, previous, a version number, an MLflow run id "
    "or organisation/name"
)


def find_policy(model: str, params: Params, cache: Path) -> Path:
    """The policy directory that ``model`` names; versions of the registry are fetched into ``cache`` once.

    Raises:
        PolyEpoError: nothing of this name, the registry or the hub cannot be reached, or the model is gone.
    """
    if Path(model).is_dir():
        return Path(model)
    if model.endswith(".gguf"):
        return _from_gguf(Path(model), cache)
    uri = _URI.fullmatch(model)
    if uri is not None:
        registered = params[RegistryParams].model
        if uri["model"] != registered:
            raise PolyEpoError(
                f"another registered model than {registered!r}",
                where="MODEL",
                value=model,
                remedy="set registry.model in params.yaml to its name",
            )
        return _fetched(params, uri["alias"] or uri["number"], cache)
    if model in _ALIASES or model.isdecimal():
        return _fetched(params, model, cache)
    if _RUN.fullmatch(model):
        return _of_run(params, model, cache)
    hub = _HUB.fullmatch(model)
    if hub is not None and not model.startswith((".", "/")):
        return _from_hub(hub["name"], hub["revision"] or "main")
    raise PolyEpoError("no model of this name", where="MODEL", value=model, remedy=f"give {_FORMS}")


def _from_gguf(file: Path, cache: Path) -> Path:
    if not file.is_file():
        raise PolyEpoError("no such GGUF file", where="MODEL", value=str(file), remedy="mend the path")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = cache / f"gguf-{digest[:16]}"
    content = fingerprint("gguf", digest)
    if is_published(target, content):
        return target
    # Heavy imports only once there is a file to convert.
    from components.policy.load import save_policy  # noqa: PLC0415
    from components.policy.params import GgufSource, PolicyParams  # noqa: PLC0415
    from components.policy.source import open_source  # noqa: PLC0415

    params = PolicyParams(source=GgufSource(kind="gguf", file=str(file)), seed=0, threads=1)
    policy, tokenizer = open_source(params, [])
    with publish(target, fingerprint=content, facts={"gguf_sha256": digest}) as directory:
        save_policy(policy, tokenizer, directory)
    return target


def _registry(params: Params) -> Models:
    # Imported when the registry is asked: MLflow takes seconds, and a directory needs none of it.
    from components.registry.aliases import open_registry  # noqa: PLC0415

    return open_registry(params)


def _fetched(params: Params, wanted: str, cache: Path) -> Path:
    models = _registry(params)
    return _local(models, models.get(wanted), cache)


def _of_run(params: Params, run_id: str, cache: Path) -> Path:
    models = _registry(params)
    versions = models.versions()
    version = next((version for version in versions if version.run_id == run_id), None)
    if version is None:
        made_by = {f"{version.run_id} (version {version.number})" for version in versions if version.run_id}
        raise PolyEpoError(
            "no policy is registered from this MLflow run",
            where="MODEL",
            value=run_id,
            remedy=f"runs with one: {', '.join(sorted(made_by)) or 'none yet'}; or give the policy's directory",
        )
    return _local(models, version, cache)


def _local(models: Models, version: Version, cache: Path) -> Path:
    """The version's policy directory below ``cache``, fetched unless it is there."""
    target = cache / (version.policy or f"version-{version.number}")
    manifest = read_manifest(target)
    if manifest is not None and manifest.digest == version.policy:
        return target
    fresh = target.with_name(f".{target.name}.tmp")
    for leftover in (fresh, target):
        if leftover.exists():
            shutil.rmtree(leftover)
    models.fetch(version, fresh)
    fresh.rename(target)
    return target


def _from_hub(name: str, revision: str) -> Path:
    # Imported when the hub is asked: nothing else needs it.
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))
    except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PolyEpoError(
            f"cannot get the model from the hub: {reason}",
            where=f"model {name} at {revision}",
            remedy="check name, revision and network (HF_TOKEN for a gated one), or give a policy directory",
        ) from error
