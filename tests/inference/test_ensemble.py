from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from enhancing import run, small_checkpoint

from radenhance.checkpoint import Checkpoint, WholeFileCheckpointIO
from radenhance.cli import main
from radenhance.dicom.read import read
from radenhance.errors import UsageError
from radenhance.inference.ensemble import Ensemble
from radenhance.inference.model import SYMMETRIES, ReferenceEnhancer, open_enhancer


@pytest.fixture
def raw():
    np.save("raw.npy", np.random.default_rng(0).integers(0, 65536, (72, 90), dtype=np.uint16))
    return Path("raw.npy")


def checkpoints(number):
    """Networks with heads of their own."""
    paths = [small_checkpoint(f"{i}.ckpt", output="correction") for i in range(number)]
    for seed, path in enumerate(paths):
        content = dict(Checkpoint.open(path).content)
        head = content["state_dict"]["unet.segmentation_head.0.weight"]
        torch.manual_seed(seed)
        head += 0.02 * torch.randn_like(head)
        WholeFileCheckpointIO().save_checkpoint(content, path)
    return paths


@pytest.mark.parametrize("number", [2, 3, 5])
def test_the_mean_and_the_disagreement_are_those_of_all_networks(raw, number):
    networks = [open_enhancer(path, device="cpu") for path in checkpoints(number)]
    images = np.stack([network(read(raw)) for network in networks])
    mean, disagreement = Ensemble(networks).with_disagreement(read(raw))
    np.testing.assert_allclose(mean, images.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(disagreement, images.std(axis=0, ddof=1), atol=1e-6)
    assert disagreement.max() > 0.01
    np.testing.assert_array_equal(Ensemble(networks)(read(raw)), mean)


def test_equal_networks_agree(raw):
    networks = [open_enhancer(small_checkpoint(), device="cpu") for _ in range(3)]
    mean, disagreement = Ensemble(networks).with_disagreement(read(raw))
    np.testing.assert_allclose(mean, networks[0](read(raw)), atol=1e-6)
    assert disagreement.max() < 1e-6


def test_a_description_of_many_networks_fits_into_a_header():
    network = open_enhancer(small_checkpoint(), device="cpu")
    for number in (2, 9, 40):
        description = Ensemble([network] * number).description
        assert description.count(network.sha256[:12]) == number
        assert len(description) <= 1024


def test_mirrored_and_turned_images_give_mirrored_and_turned_outputs(raw):
    enhancer = open_enhancer(small_checkpoint(), device="cpu", symmetric=True)
    plain = open_enhancer("small.ckpt", device="cpu")
    batch = enhancer.batch_of(read(raw))
    enhanced = enhancer.enhance(batch)
    assert "mirrored and turned" in enhancer.description
    for quarters, mirrored in SYMMETRIES:
        image = batch["raw"].flip(-1) if mirrored else batch["raw"]
        turned = {"raw": torch.rot90(image, quarters, (-2, -1)).contiguous()}
        expected = np.rot90(enhanced[:, ::-1] if mirrored else enhanced, quarters)
        np.testing.assert_allclose(enhancer.enhance(turned), expected, atol=1e-5)
    turned = {"raw": batch["raw"].flip(-1).contiguous()}
    assert not np.allclose(plain.enhance(turned), plain.enhance(batch)[:, ::-1], atol=1e-5)


def test_the_command_takes_several_networks_and_draws_where_they_disagree(raw, capsys):
    one, other = map(str, checkpoints(2))
    flags = ["--out=out", "--device=cpu", "--disagreement"]
    assert main(["enhance", one, other, str(raw), *flags]) == 0
    networks = [open_enhancer(path, device="cpu") for path in (one, other)]
    mean, disagreement = Ensemble(networks).with_disagreement(read(raw))
    for name, expected in (("raw.png", mean), ("raw.disagreement.png", disagreement)):
        shown = cv2.imread(f"out/{name}", cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(shown, np.rint(expected * 65535))
    assert main(["enhance", one, str(raw), *flags]) == 2
    assert "a disagreement is that of several networks" in capsys.readouterr().err


def test_one_network_has_no_mean_and_the_reference_enhancer_none_either(raw):
    with pytest.raises(UsageError, match="needs two or more"):
        Ensemble([open_enhancer(small_checkpoint(), device="cpu")])
    with pytest.raises(UsageError, match="name two or more"):
        run(raw, enhancer=ReferenceEnhancer(), disagreement=True)
