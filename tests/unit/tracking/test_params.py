from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.errors import PolyEpoError
from components.tracking.identity import flat_params, run_key
from components.tracking.params import TrackingParams
from tests.unit.tracking import synthetic


@pytest.mark.parametrize("uri", ["file:///tmp/x", "mlruns", "sqlite:///", "postgresql://h/db", "http://"])
def test_other_stores_are_refused(uri):
    with pytest.raises(ValidationError, match="sqlite:///PATH or the http"):
        TrackingParams(uri=uri)


def test_credentials_in_the_address_are_refused_without_showing_where_they_belong_wrongly():
    with pytest.raises(ValidationError, match="MLFLOW_TRACKING_USERNAME"):
        TrackingParams(uri="https://user:secret@mlflow.example")


def test_defaults_are_a_local_store():
    assert TrackingParams().uri == "sqlite:///.poly-epo/mlflow.db"
    assert TrackingParams(uri="https://mlflow.example/").uri == "https://mlflow.example"


def test_key_needs_data_and_base_and_ignores_where_runs_are_recorded(tmp_path):
    params = synthetic.make_params(tmp_path)
    assert run_key(params, tmp_path / "workspace") is None
    synthetic.make_base(tmp_path / "workspace")
    key = run_key(params, tmp_path / "workspace")
    assert key == run_key(synthetic.make_params(tmp_path, uri="http://127.0.0.1:5000"), tmp_path / "workspace")
    assert key != run_key(synthetic.make_params(tmp_path, ["grpo"]), tmp_path / "workspace")


def test_logged_params_hold_no_tracking_address(tmp_path):
    flat = flat_params(synthetic.make_params(tmp_path))
    assert flat["improve.iterations"] == "4"
    assert not [key for key in flat if key.startswith(("tracking", "registry"))]


def test_the_environment_names_the_store_before_the_params_do() -> None:
    params = TrackingParams(uri="sqlite:///a.db")
    assert params.address({}) == "sqlite:///a.db"
    assert params.address({"MLFLOW_TRACKING_URI": "https://mlflow.example.org/"}) == "https://mlflow.example.org"
    with pytest.raises(PolyEpoError, match="MLFLOW_TRACKING_URI: must be sqlite") as fault:
        params.address({"MLFLOW_TRACKING_URI": "postgresql://a:secret@host/db"})
    assert "secret" not in fault.value.line()
