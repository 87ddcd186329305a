"""What a checkpoint of a small network holds, to be changed."""

from functools import cache

import lightning
import torch

from radenhance.enhancer import ContrastEnhancer

ENCODER = "tu-mobilenetv3_small_050"


@cache
def _weights():
    torch.manual_seed(0)
    return ContrastEnhancer(ENCODER, num_scales="auto").state_dict()


def small_content():
    """Return what `Checkpoint.open` asks of a file, and nothing that a fit resumes from."""
    techniques = {"momentum": None, "quantization": "none"}
    return {
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": dict(_weights()),
        "hyper_parameters": {
            "encoder": ENCODER,
            "num_scales": "auto",
            "output": "image",
            **techniques,
        },
        "datamodule_hyper_parameters": {
            "image_size": 64,
            "intensity_range": "auto",
            "outside_field": "keep",
        },
        "optimizer_name": "Adam",
    }


def small_coarse_content():
    """Return the same of a network that begins with the correction of a reduced one."""
    content = small_content()
    coarse = {"encoder": ENCODER, "image_size": 64}
    content["hyper_parameters"] |= {"output": "correction", "coarse": coarse}
    content["datamodule_hyper_parameters"] |= {"outside_field": "black"}
    content["state_dict"] |= {f"coarse.{k}": v for k, v in content["state_dict"].items()}
    return content
