import subprocess
import sys

import pytest

BLOCKS = """
import sys, numpy, psutil
from radenhance.compat.glibc import keep_heap_small
if sys.argv[1] == "small":
    keep_heap_small()
numpy.ones(30 * 2**20, numpy.uint8)  # released: from now on such blocks lie on the heap
blocks = [numpy.ones(20 * 2**20, numpy.uint8) for _ in range(8)]
last = numpy.ones(2**16, numpy.uint8)  # lies behind them
blocks.clear()
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_released_blocks_do_not_stay_resident():
    resident = {
        kind: int(subprocess.check_output([sys.executable, "-c", BLOCKS, kind]))
        for kind in ("small", "usual")
    }
    assert resident["usual"] - resident["small"] > 100 * 2**20
