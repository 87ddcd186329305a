"""Every encoder by name: is its network the library's, does it train whole, and in less memory?

    nice python tests/campaigns/encoders.py [--minutes 10] [--known FILE] [--report FILE]

Each network takes one training step of two images of 64 x 64 pixels plainly, and one in bands with
checkpointing; one that differs in float32 is tried again in float64. Encoders with more than --most
million weights and those for which no time is left are listed as such; a further call with the same
--known goes on with those. Four times the weights must fit into memory.
"""

import argparse
import json
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet, shapes_of

TIMM = (
    "convnext_atto", "convnextv2_atto", "cspresnet50", "densenet121", "dla34", "edgenext_xx_small",
    "efficientformerv2_s0", "efficientnet_b0", "efficientvit_b0", "fastvit_t8", "focalnet_tiny_srf",
    "ghostnet_100", "hgnetv2_b0", "hrnet_w18_small", "inception_next_atto", "levit_128s",
    "lcnet_050", "maxvit_rmlp_pico_rw_256", "mobilenetv3_small_050", "mobilenetv4_conv_small",
    "mobilevit_xxs", "nf_resnet26", "poolformer_s12", "pvt_v2_b0", "regnety_002", "repvgg_a0",
    "resnet18", "resnet18d", "res2net50_26w_4s", "rexnet_100", "selecsls42", "starnet_s1",
    "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "tiny_vit_5m_224", "vgg11",
    "vit_tiny_patch16_224", "xception41",
)  # fmt: skip
"""One of each of timm's families, of those with few weights."""

TOLERANCE = 1e-2
"""Of output and gradients, as a share of their norm, in float32; what is left out is more."""


def main() -> None:
    """Try all encoders and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--most", type=int, default=200, help="million weights")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--known", type=Path, help="JSON of what earlier calls found")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [*get_encoder_names(), *(f"tu-{name}" for name in TIMM)]
    random.Random(0).shuffle(names)  # so that what is left out for time is of no one family
    end = time.monotonic() + 60 * options.minutes
    known = options.known
    found = json.loads(known.read_text()) if known and known.is_file() else {}
    results: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        millions = sum(shape.numel() for shape in (shapes_of(name) or {}).values()) // 10**6
        if name not in found and time.monotonic() < end and millions <= options.most:
            found[name] = verdict(name)
            if known:
                known.write_text(json.dumps(found))
        many = f"{millions} million weights, more than --most {options.most}"
        why = "no time left" if millions <= options.most else many
        results[name] = found.get(name, f"not tried: {why}")
        print(f"{number}/{len(names)} {name}: {results[name]}", flush=True)
        if options.report:
            options.report.write_text(report(results))


def verdict(name: str) -> str:
    """Return what became of an encoder, in a sentence."""
    torch.manual_seed(0)
    try:
        unet = build_unet(name)
        plain = step(unet, lambda image: MemoryTechniques().run(unet, image))
        without = [key for key, gradient in plain.items() if gradient is None]
        if without:
            return f"trains, but {len(without)} weights get no gradient, such as {without[0]}"
        del plain
        differs = bands_differ(unet) and bands_differ(unet.double())
    except UsageError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"DEFECT: {type(error).__name__}: {str(error).splitlines()[0][:150]}"
    return "DEFECT: bands differ" if differs else "trains"


def bands_differ(unet: smp.Unet) -> bool:
    """Return whether a step in bands with checkpointing is another than a plain one."""
    spared = MemoryTechniques(band_rows=8, checkpointing="unit")
    plain = step(unet, lambda image: MemoryTechniques().run(unet, image))
    other = step(unet, lambda image: spared.run(unet, image))
    return difference(plain, other) > TOLERANCE


def step(unet: smp.Unet, run: Callable[[Tensor], Tensor]) -> dict[str, Tensor | None]:
    """Return the output, and the gradient of each weight that is trained."""
    torch.manual_seed(1)  # of the image, of dropped paths
    unet.train().zero_grad()
    output = run(torch.rand(2, 1, 64, 64).to(next(unet.parameters()).dtype))
    output.square().mean().backward()
    trained = {name: p.grad for name, p in unet.named_parameters() if p.requires_grad}
    return {"output": output.detach(), **trained}


def difference(one: dict[str, Tensor | None], other: dict[str, Tensor | None]) -> float:
    """Return the norm of the difference of all gradients, or of the output, as a share."""
    shares = []
    for names in (["output"], [name for name in one if name != "output"]):
        apart = sum((one[name] - other[name]).norm() ** 2 for name in names)
        shares.append((apart / sum(one[name].norm() ** 2 for name in names)).sqrt().item())
    return max(shares)


def report(results: dict[str, str]) -> str:
    """Return the results as a page: counts, and all that is not plainly well."""
    kinds = ("trains", "trains, but", "refused", "not tried", "DEFECT")
    found = {kind: [] for kind in kinds}
    for name, result in sorted(results.items()):
        kind = result if result in kinds else next(k for k in kinds[1:] if result.startswith(k))
        found[kind].append((name, result))
    lines = ["# Every encoder", ""]
    lines += ["`nice python tests/campaigns/encoders.py --known FILE`, on a CPU, with "]
    lines[-1] += f"segmentation-models-pytorch {smp.__version__} and PyTorch {torch.__version__}."
    lines += ["", "| result | encoders |", "|---|---|"]
    lines += [f"| {kind} | {len(those)} |" for kind, those in found.items()]
    lines += ["", "## Train", "", ", ".join(name for name, _ in found["trains"]), ""]
    lines += ["## All others", "", "| encoder | result |", "|---|---|"]
    lines += [f"| {name} | {result} |" for kind in kinds[1:] for name, result in found[kind]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
