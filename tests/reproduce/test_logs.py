"""Figures are read as the run logged them."""

import pytest
from torch.utils.tensorboard import SummaryWriter

from radenhance import metric_names
from radenhance.errors import UsageError
from radenhance.reproduce.logs import last, read_figures, scalars


def write(folder, version, **series):
    with SummaryWriter(folder / "lightning_logs" / f"version_{version}") as writer:
        for name, values in series.items():
            for step, value in values.items():
                writer.add_scalar(name, value, step)


def write_run(folder, version=0, **more):
    epochs = {5: 9.0, 10: 6.0}
    names = (metric_names.TRAIN_LOSS, metric_names.VAL_LOSS, metric_names.EPOCH_S)
    write(folder, version, **dict.fromkeys(names, epochs), **more)


def test_losses_are_those_of_the_last_epoch(tmp_path):
    write_run(tmp_path)
    figures = read_figures(tmp_path)
    assert (figures.train_loss, figures.val_loss) == (6.0, 6.0)


def test_an_epoch_takes_the_median_so_that_the_first_does_not_count_double(tmp_path):
    write_run(tmp_path)
    write(tmp_path, 1, **{metric_names.EPOCH_S: {5: 100.0, 10: 3.0, 15: 4.0}})
    assert read_figures(tmp_path).epoch_s == 4.0


def test_what_a_resumed_run_logged_again_counts(tmp_path):
    write(tmp_path, 0, loss={1: 10.0, 2: 20.0, 3: 30.0})
    write(tmp_path, 1, loss={3: 31.0, 4: 41.0})
    assert scalars(tmp_path)["loss"] == {1: 10.0, 2: 20.0, 3: 31.0, 4: 41.0}


def test_the_last_value_is_that_of_the_last_step():
    assert last({10: 1.0, 2: 5.0}) == 1.0


def test_a_long_run_is_read_whole(tmp_path):
    """TensorBoard keeps a sample of 10,000 values unless told otherwise."""
    write(tmp_path, 0, loss={step: float(step) for step in range(10_050)})
    assert len(scalars(tmp_path)["loss"]) == 10_050


def test_memory_is_the_highest_logged_of_one_gpu_and_the_mean_of_two(tmp_path):
    def memory(phase, stage=None):
        return metric_names.memory(phase, metric_names.ALLOCATED, stage)

    one = {memory(metric_names.FORWARD): {5: 70, 10: 80}}
    write_run(tmp_path / "one", **one)
    assert read_figures(tmp_path / "one").forward_mib == 80
    assert read_figures(tmp_path / "one").backward_mib is None
    two = {memory(metric_names.FORWARD, stage): {5: mib} for stage, mib in
           (("encoder", 100), ("decoder", 300))}  # fmt: skip
    write_run(tmp_path / "two", **two)
    assert read_figures(tmp_path / "two").forward_mib == 200


def test_a_run_without_a_gpu_has_no_such_memory(tmp_path):
    write_run(tmp_path)
    assert read_figures(tmp_path).forward_mib is None


@pytest.mark.parametrize("missing", ["train/loss", "val/loss", metric_names.EPOCH_S])
def test_logs_without_a_figure_are_refused_by_its_name(tmp_path, missing):
    names = {metric_names.TRAIN_LOSS, metric_names.VAL_LOSS, metric_names.EPOCH_S} - {missing}
    write(tmp_path, 0, **dict.fromkeys(names, {5: 1.0}))
    with pytest.raises(UsageError, match=f"has no {missing} in its logs"):
        read_figures(tmp_path)


def test_a_folder_without_logs_is_empty(tmp_path):
    assert scalars(tmp_path) == {}
