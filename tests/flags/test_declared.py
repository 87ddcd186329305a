"""What is read from source files is what the classes say."""

import inspect
from importlib import import_module

import pytest

from radenhance.flags.declared import parameters_of
from radenhance.flags.help import SECTIONS

CLASSES = [section.class_path for section in SECTIONS]


def parameter(class_path, name):
    (found,) = [one for one in parameters_of(class_path) if one.name == name]
    return found


@pytest.mark.parametrize("class_path", CLASSES)
def test_names_and_plain_defaults_are_those_of_the_class(class_path):
    module, _, name = class_path.rpartition(".")
    signature = inspect.signature(getattr(import_module(module), name))
    read = {one.name: one.default for one in parameters_of(class_path)}
    assert list(read) == list(signature.parameters)
    words = {None: "null", True: "true", False: "false"}
    for key, declared in signature.parameters.items():
        default = declared.default
        if default is None or isinstance(default, bool):
            assert read[key] == words[default]
        elif isinstance(default, int | float | str):
            assert read[key] == str(default)


@pytest.mark.parametrize("class_path", CLASSES)
def test_every_parameter_has_a_text(class_path):
    assert [one.name for one in parameters_of(class_path) if not one.text] == []


def test_choices_are_found_where_the_type_is_defined():
    memory = "radenhance.memory.techniques.MemoryTechniques"
    assert parameter(memory, "checkpointing").choices == ("none", "stage", "unit")
    assert parameter(memory, "tf32").choices == ("true", "false")
    assert parameter(memory, "band_rows").choices == ()
    model = "radenhance.enhancer.ContrastEnhancer"
    assert parameter(model, "lr_interval").choices == ("epoch", "step")


def test_defaults_that_are_no_plain_values_are_left_out():
    assert parameter("radenhance.enhancer.ContrastEnhancer", "optimizer").default is None
    writer = "radenhance.callbacks.prediction_writer.PredictionWriter"
    assert parameter(writer, "folder").default == "enhanced"
