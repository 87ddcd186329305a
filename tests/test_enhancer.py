import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from radenhance.enhancer import ContrastEnhancer, half_cosine, measure


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ContrastEnhancer("resnet18", num_scales="auto")


@pytest.mark.parametrize("shape", [(64, 64), (65, 97), (33, 40)])
def test_output_has_the_size_of_the_input_whatever_it_is(model, shape):
    raw = torch.rand(1, 1, *shape)
    assert model.eval()(raw).shape == raw.shape


def test_padding_is_reflected_and_cropped_off_again(model):
    raw = torch.rand(1, 1, 70, 81)
    padded = torch.nn.functional.pad(raw, (0, 15, 0, 26), mode="reflect")
    with torch.no_grad():
        assert torch.equal(model(raw), model.unet(padded)[..., :70, :81])


def test_predictions_are_clipped_to_what_a_file_can_hold(model):
    with torch.no_grad():
        model.unet.segmentation_head[0].bias.fill_(3.0)
        predicted = model.eval().predict_step({"raw": torch.rand(1, 1, 64, 64)}, 0)
    assert predicted.max() == 1
    assert predicted.min() >= 0


def test_measures_of_equal_images_are_perfect():
    image = torch.rand(2, 1, 64, 64)
    perfect = measure(image, image, num_scales="auto")
    assert perfect["loss"] == pytest.approx([0, 0], abs=1e-4)
    assert perfect["ms_ssim"] == pytest.approx([1, 1], abs=1e-6)
    assert perfect["ssim"] == pytest.approx([1, 1], abs=1e-6)
    assert perfect["mae"].tolist() == [0, 0]


def test_measures_of_a_known_error():
    target = torch.full((2, 1, 64, 64), 0.5)
    enhanced = target + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)
    measures = measure(enhanced, target, num_scales="auto")
    assert measures["mae"] == pytest.approx([0.1, 0.01], rel=1e-4)
    assert measures["psnr"] == pytest.approx([20, 40], rel=1e-4)


def test_half_cosine_falls_from_the_full_rate_to_zero_and_stays_there():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = half_cosine(optimizer, lambda: 4)
    rates = []
    for _ in range(6):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2, 0.1707107, 0.1, 0.0292893, 0, 0], abs=1e-6)


def test_a_longer_run_does_not_raise_the_rate_where_it_resumes():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    short, long = half_cosine(optimizer, lambda: 10), half_cosine(optimizer, lambda: 20)
    for _ in range(10):
        optimizer.step()
        short.step()
    long.load_state_dict(short.state_dict())
    optimizer.step()
    long.step()
    at_11 = long.get_last_lr()[0]
    long.step()
    assert 0 < long.get_last_lr()[0] < at_11 < 0.2


def test_a_run_without_end_keeps_the_full_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    endless = half_cosine(optimizer, lambda: float("inf"))
    for _ in range(5):
        optimizer.step()
        endless.step()
    assert endless.get_last_lr() == [0.2]


class Waiting(Callback):
    """How many gradients there are when each step begins."""

    def __init__(self):
        self.counts = []

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.counts.append(sum(p.grad is not None for p in pl_module.parameters()))


@pytest.mark.parametrize(
    ("accumulates", "waits"), [(1, [False, False, False]), (2, [False, True, False])]
)
def test_gradients_wait_for_the_next_step_only_while_they_accumulate(model, accumulates, waits):
    image = {"raw": torch.rand(1, 64, 64), "target": torch.rand(1, 64, 64), "case": "a"}
    waiting = Waiting()
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=accumulates,
        callbacks=[waiting],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, DataLoader([image] * 3))
    assert [bool(count) for count in waiting.counts] == waits
