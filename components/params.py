"""params.yaml: typed, strict parameters, each section owned by the component that uses it.

    params = load_params(Path("params.yaml"))
    training = params[TrainingParams]

An unknown key, a wrong type or a value out of range is one error line that names the key, the value and what
is allowed. Overlays (profiles/*.yaml) have the same shape and replace single keys.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import PolyEpoError
from components.validation import fault_of

__all__ = ["SECTIONS", "Params", "Section", "load_params", "merge_overlay", "parse_params", "read_document"]

SECTIONS: dict[str, str] = {
    "data": "components.data.params:DataParams",
    "gates": "components.data.gates.params:GateParams",
    "policy": "components.policy.params:PolicyParams",
    "rollout": "components.rollout.params:RolloutParams",
    "scoring": "components.scoring.params:ScoringParams",
    "training": "components.training.params:TrainingParams",
    "improve": "components.improve.params:ImproveParams",
    "arms": "components.improve.params:ArmsParams",
    "evaluation": "components.evaluation.params:EvaluationParams",
    "tracking": "components.tracking.params:TrackingParams",
    "registry": "components.registry.params:RegistryParams",
    "runner": "components.resources:RunnerParams",
}
"""Section of params.yaml -> the model that owns it; resolved by name so that components stay independent."""


class Section(BaseModel):
    """Base of every section: frozen, strict types, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


S = TypeVar("S", bound=BaseModel)


class Params:
    """All sections of one params.yaml, looked up by their type: ``params[TrainingParams]``."""

    def __init__(self, sections: Mapping[str, BaseModel]) -> None:
        self._sections = dict(sections)

    def __getitem__(self, kind: type[S]) -> S:
        for section in self._sections.values():
            if type(section) is kind:
                return section
        raise KeyError(kind.__name__)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values of all sections, defaults filled in."""
        return {name: section.model_dump(mode="json") for name, section in self._sections.items()}


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        PolyEpoError: the file is missing, is not YAML, or any value in it is not allowed.
    """
    return parse_params(read_document(path), where=str(path))


def read_document(path: Path) -> Any:
    """The values of a params file as they stand in it, unchecked.

    Raises:
        PolyEpoError: the file is missing or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except FileNotFoundError as error:
        raise PolyEpoError(
            "params file not found", where=str(path), remedy="run from the project's root or pass --params"
        ) from error
    except OSError as error:
        raise PolyEpoError(f"cannot be read: {error.strerror}", where=str(path), remedy="mend the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolyEpoError(f"not valid YAML: {error}", where=str(path), remedy="mend the line it names") from error


def parse_params(document: object, *, where: str = "params") -> Params:
    """Check a whole params document (section name -> values); ``where`` names it in errors."""
    if not isinstance(document, dict):
        raise PolyEpoError("params must be a mapping of sections", where=where, value=type(document).__name__)
    unknown = [name for name in document if name not in SECTIONS]
    if unknown:
        raise PolyEpoError(f"unknown section {unknown[0]!r}", where=where, remedy=f"known: {', '.join(SECTIONS)}")
    sections = {name: _parse_section(name, document.get(name, {}), where) for name in SECTIONS}
    arms = sections["arms"]
    improve = sections["improve"]
    # The one check across sections: an arm's sets must be smaller than the groups they are drawn from.
    check = getattr(arms, "check_against", None)
    if check is not None:
        check(improve, where)
    return Params(sections)


def merge_overlay(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``overlay`` replaced, mappings merged key by key, lists replaced whole.

    A mapping of another ``kind`` replaces the old one whole: the keys of the old kind mean nothing to the new.
    """
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        mergeable = isinstance(old, Mapping) and isinstance(value, Mapping) and not _other_kind(old, value)
        merged[key] = merge_overlay(cast(Mapping[str, Any], old), value) if mergeable else value
    return merged


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads the same file: ``1e-6`` is a number (for YAML 1.1 it would be text)."""


_Loader.yaml_implicit_resolvers = {
    first: list(known) for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _other_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in old and "kind" in new and old["kind"] != new["kind"]


def _parse_section(name: str, values: object, where: str) -> BaseModel:
    module, _, attribute = SECTIONS[name].partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), attribute)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise fault_of(name, model, error.errors()[0], where=where) from error
