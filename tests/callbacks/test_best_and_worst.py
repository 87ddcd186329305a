import torch

from radenhance.callbacks.best_and_worst import BestAndWorst


def feed(callback, *batches):
    callback.on_validation_start(None, None)
    for similarities in batches:
        images = torch.rand(len(similarities), 1, 4, 4)
        batch = {"raw": images, "target": images, "case": [f"case {s}" for s in similarities]}
        outputs = {"enhanced": images + 1, "ms_ssim": torch.tensor(similarities)}
        callback.on_validation_batch_end(None, None, outputs, batch, 0)


def test_keeps_the_best_and_the_worst_of_all_batches():
    callback = BestAndWorst()
    feed(callback, [0.5, 0.9], [0.25], [0.75])
    assert callback.best.case == "case 0.9"
    assert callback.worst.case == "case 0.25"
    assert callback.best.enhanced.max() == 1


def test_forgets_the_validation_before():
    callback = BestAndWorst()
    feed(callback, [0.1, 0.99])
    feed(callback, [0.5])
    assert callback.best.case == callback.worst.case == "case 0.5"


def test_large_images_are_kept_small_and_their_error_is_that_of_full_size():
    callback = BestAndWorst()
    callback.on_validation_start(None, None)
    stripes = (torch.arange(2048) % 2).float().expand(1, 1, 1024, 2048)
    batch = {"raw": stripes, "target": 1 - stripes, "case": ["stripes"]}
    outputs = {"enhanced": stripes, "ms_ssim": torch.tensor([0.1])}
    callback.on_validation_batch_end(None, None, outputs, batch, 0)
    assert callback.best.raw.shape == (256, 512)
    assert callback.best.error.min() == 1  # although both images, made smaller, are the same grey


def test_a_rank_without_the_end_of_the_network_shows_nothing():
    callback = BestAndWorst()
    callback.on_validation_start(None, None)
    callback.on_validation_batch_end(None, None, None, {}, 0)
    assert callback.best is None
