from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.errors import PolyEpoError
from components.evaluation.params import EvaluationParams
from components.params import parse_params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": [1, 129]}, "ks holds 129, more than the 128 samples"),
        ({"majority_ks": [8, 256]}, "majority_ks holds 256"),
        ({"distinct_samples": 200}, "distinct_samples holds 200"),
        ({"ks": [8, 1]}, "ks must rise"),
        ({"ks": [1, 1]}, "ks must rise"),
        ({"ks": []}, "at least 1 item"),
        ({"ks": [0]}, "greater than or equal to 1"),
        ({"samples": 128.0}, "valid integer"),
        ({"confidence": 1.0}, "less than 1"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvaluationParams.model_validate(change)


def test_k_above_the_samples_is_one_error_line_when_params_are_loaded() -> None:
    document = {"evaluation": {"samples": 16, "ks": [1, 64], "majority_ks": [8], "distinct_samples": 16}}
    with pytest.raises(PolyEpoError, match=r"evaluation: .*ks holds 64, more than the 16 samples") as caught:
        parse_params({**_required(), **document})
    assert "\n" not in caught.value.line()


def test_limited_to_leaves_out_what_cannot_be_estimated() -> None:
    limited = EvaluationParams().limited_to(16)
    assert (limited.samples, limited.ks, limited.majority_ks) == (16, [1, 2, 4, 8, 16], [8])
    assert limited.distinct_samples == 16
    assert EvaluationParams().limited_to(4).majority_ks == [4]


def _required() -> dict[str, object]:
    """The sections of the project's own params.yaml: some have keys without a default."""
    import yaml

    with open("params.yaml", encoding="utf-8") as stream:
        document: dict[str, object] = yaml.safe_load(stream)
    return document
