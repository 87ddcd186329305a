"""What a run says of itself."""

from radenhance.flags.compared import compared_flags, typed
from radenhance.flags.parser import parse_flags
from radenhance.flags.recipes import recipes


def test_the_command_line_is_shown_as_typed_but_for_folders_of_patients():
    recipe = recipes()["quickstart.yaml"]
    arguments = ["fit", "--config", str(recipe), f"--config={recipe}", "--data.root", "my data"]
    hidden = ["--data.predict_from", "exams/of Rex", "--output.folder=rex"]
    assert typed([*arguments, *hidden]) == (
        "radenhance fit --config quickstart.yaml --config=quickstart.yaml --data.root 'my data' "
        "--data.predict_from ... --output.folder=..."
    )


def test_runs_are_told_apart_by_recipe_techniques_and_what_matters():
    recipe = recipes()["amp_chkp.yaml"]
    given = [f"--config={recipe}", "--data.batch_size=3", "--data.num_workers=0"]
    compared = compared_flags(parse_flags("fit", given).settings)
    assert compared["recipe"] == "amp_chkp"
    assert "checkpointing" in compared["techniques"]
    assert compared["trainer.precision"] == "16-mixed"
    assert compared["data.batch_size"] == 3
    assert not any("num_workers" in name or "root" in name for name in compared)


def test_a_run_without_recipe_and_techniques_says_so():
    compared = compared_flags(parse_flags("fit", []).settings)
    assert (compared["recipe"], compared["techniques"]) == ("none", "none")
    assert compared["trainer.precision"] == "32-true"
    assert compared["model.optimizer.class_path"] == "torch.optim.Adam"
    assert compared["memory.momentum"] == "none"
