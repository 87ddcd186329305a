"""An evaluation with figures that a test chooses, and a dataset for a real one."""

from types import SimpleNamespace

import numpy as np
import torch
from small_checkpoint import small_content

from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.inference.evaluation import CONTRASTS, MEASURES, RAW, TARGET, Case, Evaluation

SPECIES = ("cat", "dog")


def write_network(path, *, size=64):
    """Write a checkpoint whose network brightens what it sees a little, and differs by size."""
    content = small_content()
    content["hyper_parameters"]["output"] = "correction"
    content["datamodule_hyper_parameters"]["image_size"] = size
    content["state_dict"]["unet.segmentation_head.0.weight"] = (
        0.1 * content["state_dict"]["unet.segmentation_head.0.weight"]
    )
    content["state_dict"]["unet.segmentation_head.0.bias"] = torch.tensor([0.05])
    torch.save(content, path)
    return path


def evaluated(figures, *, num_cases=8, shape=(100, 100), at="auto", species=SPECIES):
    """Return an evaluation.

    Args:
        figures: Method -> mean of all of its measures; those that begin with network are networks.
        num_cases: Each of another patient, with figures that scatter by 0.01 around the mean.
        shape: Of the radiographs; networks were trained on 64 px.
        at: How networks see them.
        species: What is said of the radiographs by turns.
    """
    scatter = 0.01 * np.random.default_rng(0).normal(size=num_cases)
    cases = [
        Case(f"case {i + 1}", f"p{i}", species[i % len(species)], "", shape, i)
        for i in range(num_cases)
    ]
    values = {
        name: {measure: mean + (0 if name == RAW else scatter) + np.zeros(num_cases)
               for measure in MEASURES}
        for name, mean in figures.items()
    }  # fmt: skip
    values[TARGET] = {measure: np.ones(num_cases) for measure in CONTRASTS}
    networks = {
        name: SimpleNamespace(
            input={"image_size": 64}, at=at, sha256="0" * 64, description="a network"
        )
        for name in figures
        if name.startswith("network")
    }
    return Evaluation(cases, values, networks)


def write_pairs(root, splits, *, side=70, reference=False):
    """Write pairs of smooth images, raw linear in the target, of cats and dogs by turns."""
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
    y, x = np.mgrid[0:side, 0 : side + 10]
    pairs = []
    for i, split in enumerate(splits):
        waves = np.sin(x / (5 + i)) + np.cos(y / (7 + i))
        target = ((waves + 2) / 4 * 65535).astype(np.uint16)
        np.save(root / f"raw/case{i}.npy", (16384 + target // 2).astype(np.uint16))
        np.save(root / f"target/case{i}.npy", target)
        pairs.append(
            Pair(
                f"case{i}",
                f"p{i}",
                f"raw/case{i}.npy",
                f"target/case{i}.npy",
                split,
                species=SPECIES[i % 2],
                target_algo="laplacian-power/0 soft" if reference else "",
            )
        )
    write_manifest(root, pairs)
    return root
