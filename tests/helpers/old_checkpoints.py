"""Checkpoints as earlier versions wrote them: real ones, of which keys, types and shapes are kept.

tests/data/checkpoints.json was made of checkpoints of version 0.1.0 (ResNet-18, two epochs of three
steps, recipes original, mom and quant). The tensors, which would be 170 MB each, are filled here.
"""

import json
from pathlib import Path
from zlib import crc32

import torch

KEPT = Path(__file__).parents[1] / "data" / "checkpoints.json"
RECIPES = ("original", "mom", "quant")


def write_old_checkpoint(recipe, path):
    """Write a checkpoint as version 0.1.0 did after a fit with a recipe; return its weights."""
    kept = json.loads(KEPT.read_text())
    content = filled(kept["content"])
    content["hyper_parameters"] = kept["hyper_parameters"][recipe]
    if recipe != "quant":
        state = content["state_dict"]
        content["state_dict"] = {k: v for k, v in state.items() if ".ranges." not in k}
    torch.save(content, path)
    return content["state_dict"]


def filled(kept, name=""):
    """What a description describes."""
    if isinstance(kept, list):
        return [filled(one) for one in kept]
    if not isinstance(kept, dict):
        return kept
    if kept.keys() == {"tensor"}:
        return tensor(name, *kept["tensor"])
    if kept.keys() == {"dict"}:
        return {key: filled(value, str(key)) for key, value in kept["dict"]}
    return {key: filled(value, key) for key, value in kept.items()}


def tensor(name, dtype, shape):
    made = torch.zeros(shape, dtype=getattr(torch, dtype))
    if name.endswith("running_var"):
        return made + 1
    if name.endswith("bounds"):  # lowest and highest value of an activation
        return torch.tensor([0.0, 6.0])
    if name in ("step", "best_model_score", "current_score") or name.endswith("tracked"):
        return made + 6
    if name.endswith(("weight", "bias", "running_mean")):
        generator = torch.Generator().manual_seed(crc32(name.encode()))
        return 0.05 * torch.randn(shape, generator=generator)
    return made
