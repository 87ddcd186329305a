import numpy as np
import torch

from radenhance.callbacks.best_and_worst import Shown
from radenhance.callbacks.previews import preview


def shown(enhanced, ms_ssim=0.5):
    image, target = torch.full((40, 40), enhanced), torch.full((40, 40), 0.5)
    return Shown("case", target, image, target, (image - target).abs(), ms_ssim)


def centre(sheet, panel):
    return int(sheet[26 + 180, 8 + panel * 368 + 180])


def test_panels_are_raw_enhanced_target_error_in_a_fixed_window():
    sheet = preview("worst", shown(enhanced=0.6))
    assert sheet.dtype == np.uint8
    assert [centre(sheet, panel) for panel in range(4)] == [128, 153, 128, 102]


def test_an_error_of_a_quarter_or_more_is_white():
    assert centre(preview("worst", shown(enhanced=0.75)), 3) == 255
    assert centre(preview("worst", shown(enhanced=1.0)), 3) == 255
