"""Which container a stage gets, and what the engine is told of its limits; the rest is in tests/integration/docker."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.resources import ContainerParams, RunnerParams
from flows.runners.docker import _limits, _passed


@pytest.mark.parametrize(
    ("stage", "kind"),
    [("improve@grpo", "train"), ("base", "train"), ("evaluate@grpo", "cpu"), ("improved", "cpu"), ("", "cpu")],
)
def test_a_matrix_stage_is_found_by_its_own_name(stage: str, kind: str) -> None:
    assert RunnerParams().container(stage)[0] == kind


def test_a_container_without_limits_may_use_the_machine() -> None:
    assert _limits(ContainerParams()) == ["--shm-size", str(2**30)]


def test_memory_is_limited_with_swap() -> None:
    limits = _limits(ContainerParams(memory_gib=2.0, cpus=1.5))
    assert limits[2:] == ["--cpus", "1.5", "--memory", str(2**31), "--memory-swap", str(2**31)]


@pytest.mark.parametrize(("gpus", "option"), [("all", "all"), ("2", "2"), ("device=0,1", '"device=0,1"')])
def test_a_list_of_gpus_is_one_field_of_the_options_csv(gpus: str, option: str) -> None:
    assert _limits(ContainerParams(gpus=gpus))[2:] == ["--gpus", option]


@pytest.mark.parametrize("wrong", [{"gpus": "0"}, {"gpus": "all --privileged"}, {"cpus": 0.0}, {"memory_gib": 0.001}])
def test_limits_that_the_engine_would_refuse_are_refused_first(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ContainerParams.model_validate(wrong)


@pytest.mark.parametrize("volume", ["relative", "/with,comma"])
def test_volumes_are_absolute_and_cannot_add_options(volume: str) -> None:
    with pytest.raises(ValidationError):
        RunnerParams(volumes=[volume])


def test_variables_are_passed_by_name_alone() -> None:
    passed = _passed({"AWS_SECRET_ACCESS_KEY": "hidden", "HOME": "/root", "POLY_EPO_X": "1", "PATH": "/bin"})
    assert passed == ["--env", "AWS_SECRET_ACCESS_KEY", "--env", "POLY_EPO_X"]
