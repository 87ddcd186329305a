"""What holds of every technique, whichever it is."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from radenhance.errors import UsageError
from radenhance.memory.technique import Technique, refuse_exclusions, refuse_without_residual_layers
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage, Unit
from radenhance.network.unet import build_unet


class Idle(Technique):
    parameter: ClassVar[str] = "MemoryTechniques.idle"
    is_on = True


class Jealous(Idle):
    parameter: ClassVar[str] = "MemoryTechniques.jealous"
    excludes: ClassVar = {Idle: "it stands alone"}


def test_a_technique_that_does_nothing_leaves_everything_as_it_is():
    stages = [Stage("stem", (Unit(lambda x: x, ()),))]
    assert Idle().stages(stages, None) is stages
    assert Idle().running(stages) is stages
    with Idle().saving(stages, []):
        pass


def test_an_exclusion_is_declared_once_and_holds_both_ways():
    sentence = "jealous does not go with MemoryTechniques.idle: it stands alone; leave one of them"
    for pair in ([Idle(), Jealous()], [Jealous(), Idle()]):
        with pytest.raises(UsageError, match=sentence):
            refuse_exclusions(pair)
    refuse_exclusions([Idle(), Idle()])


def test_an_encoder_without_residual_layers_is_refused_by_name():
    @dataclass
    class Network:
        encoder: object

    with pytest.raises(UsageError, match=r"idle needs an encoder of residual .*, got object; use"):
        refuse_without_residual_layers(Idle(), [Stage("encoder", ())], Network(object()))
    refuse_without_residual_layers(Idle(), [Stage("layer1", ())], Network(object()))


@pytest.mark.parametrize("technique", MemoryTechniques().known, ids=lambda one: type(one).__name__)
def test_a_technique_names_its_field_and_reasons_that_end_no_sentence(technique):
    name = technique.parameter.removeprefix("MemoryTechniques.")
    assert hasattr(MemoryTechniques(), name)
    assert technique.examples
    assert all(reason and not reason.endswith(".") for reason in technique.excludes.values())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"checkpointing": "all"}, "checkpointing is 'all', expected one of none, stage, unit"),
        ({"momentum": 1.0}, "momentum is 1.0, expected gamma between 0 and 1, such as 0.9"),
        ({"quantization": "int4"}, "quantization is 'int4', expected one of none, qat"),
        ({"offload_mib": -1}, "offload_mib is -1, expected a number of MiB such as 4096, or 0"),
        ({"band_rows": -1}, "band_rows is -1, expected a number of rows such as 128, auto, or 0"),
        ({"band_rows": "all"}, "band_rows is 'all', expected a number of rows"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_parameter(values, sentence):
    with pytest.raises(UsageError, match=f"MemoryTechniques.{sentence}"):
        MemoryTechniques(**values)


def test_contexts_and_stages_are_those_of_the_chosen_techniques_alone():
    unet = build_unet("resnet18")
    plain = MemoryTechniques().stages_of(unet)
    assert MemoryTechniques(checkpointing="unit", band_rows=4).stages_of(unet) == plain
    assert not hasattr(unet, "ranges")
