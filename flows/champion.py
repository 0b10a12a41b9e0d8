"""The registry's champion as a directory to start from or to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.manifest import read_manifest
from components.params import load_params
from components.policy.params import CHAMPIONS

__all__ = ["Champion", "current_champion"]


@dataclass(frozen=True)
class Champion:
    """The champion's version number, the digest of its policy, and where its files are (checked)."""

    number: int
    policy: str
    directory: Path


def current_champion(root: Path) -> Champion | None:
    """The champion, its files fetched below .poly-epo/champions; None while there is none.

    Raises:
        PolyEpoError: the registry cannot be reached, or the files are gone.
    """
    # MLflow takes seconds to import: only flows that ask for the champion pay.
    from components.registry.aliases import open_registry  # noqa: PLC0415
    from components.registry.store import CHAMPION  # noqa: PLC0415

    models = open_registry(load_params(root / "params.yaml"))
    version = models.with_alias(CHAMPION)
    if version is None:
        return None
    directory = CHAMPIONS / version.policy
    if read_manifest(root / directory) is None:
        models.fetch(version, root / directory)
    return Champion(version.number, version.policy, directory)
