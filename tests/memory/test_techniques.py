import pytest
import torch

from radenhance.memory.techniques import MemoryTechniques


@pytest.fixture(autouse=True)
def _restored():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    yield
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize("tf32", [False, True])
def test_tensorfloat_is_a_choice_for_convolutions_too(tf32):
    torch.backends.cudnn.allow_tf32 = not tf32
    MemoryTechniques(tf32=tf32).set_float32_precision()
    assert torch.backends.cudnn.allow_tf32 is tf32
    assert torch.backends.cuda.matmul.allow_tf32 is tf32


def test_nothing_that_costs_anything_is_on_by_default():
    assert MemoryTechniques() == MemoryTechniques(
        checkpointing="none",
        momentum=None,
        momentum_reversible=True,
        quantization="none",
        offload_mib=0,
        band_rows=0,
        fused_upsampling=True,
        tf32=False,
    )
