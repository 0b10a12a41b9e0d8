"""The data and gates sections refuse unknown keys, wrong types and values out of range."""

import pytest
from pydantic import ValidationError

from components.data.gates.params import GateParams
from components.data.params import DataParams


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"sead": 0}, ("sead",)),
        ({"seed": "0"}, ("seed",)),
        ({"test": 0}, ("test",)),
        ({"validation": 1.5}, ("validation",)),
        ({"max_train": 0}, ("max_train",)),
        ({"demonstrations": {"wrong_share": 1.5}}, ("demonstrations", "wrong_share")),
        ({"source": {"kind": "sql"}}, ("source",)),
        ({"source": {"kind": "polynomial", "size": 3}}, ("source", "polynomial", "size")),
        ({"source": {"kind": "polynomial", "x_range": 9.0}}, ("source", "polynomial", "x_range")),
        ({"source": {"kind": "multiplication", "left_digits": 5}}, ("source", "multiplication", "left_digits")),
        ({"source": {"kind": "file"}}, ("source", "file", "path")),
        ({"source": {"kind": "hub", "name": "a/b"}}, ("source", "hub", "revision")),
    ],
)
def test_a_faulty_value_is_located(values, where):
    with pytest.raises(ValidationError) as caught:
        DataParams.model_validate(values)
    assert [error["loc"] for error in caught.value.errors()] == [where]


@pytest.mark.parametrize("values", [{"every": 0}, {"every": "25"}, {"evry": 25}])
def test_faulty_gate_params_are_refused(values):
    with pytest.raises(ValidationError):
        GateParams.model_validate(values)
