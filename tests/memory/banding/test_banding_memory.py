"""Bytes of a step in bands against those of plain training, of fake tensors."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

PLAIN = MemoryTechniques()


def peak_bytes(techniques, size, *, train=True):
    with FakeTensorMode(), Footprint() as footprint:
        unet = build_unet("resnet34").train(train)
        image = torch.rand(1, 1, size, size)
        with torch.set_grad_enabled(train):
            enhanced = techniques.run(unet, image)
        if train:
            streamed_ms_ssim_loss(enhanced, image).backward()
    return footprint.peak_bytes


def test_a_step_takes_a_fifth_of_the_memory_of_plain_training():
    techniques = MemoryTechniques(band_rows="auto", checkpointing="unit")
    assert peak_bytes(techniques, 2048) < 0.2 * peak_bytes(PLAIN, 2048)


def test_evaluation_takes_less_than_half_the_memory_of_plain_evaluation():
    techniques = MemoryTechniques(band_rows="auto")
    plain = peak_bytes(PLAIN, 2048, train=False)
    assert peak_bytes(techniques, 2048, train=False) < 0.5 * plain


def test_bytes_of_a_pixel_do_not_rise_with_the_image():
    techniques = MemoryTechniques(band_rows="auto", checkpointing="unit")
    small, large = (peak_bytes(techniques, size) / size**2 for size in (512, 1024))
    assert large <= small
