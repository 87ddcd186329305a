"""What every test starts from: no network, a folder of its own, and a tiny dataset when asked."""

import gc
import os
import signal

import loopback

LED_OUT: list[str] = []
"""Sockets that lead out of this machine; before the imports, which are watched, too."""
loopback.watch(LED_OUT.append)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from jsonargparse._common import parsing_settings  # noqa: E402

from radenhance.dataset.manifest import Pair, write_manifest  # noqa: E402

# In a shell's background or under nohup they are ignored, and tests that send them would wait on.
for stop, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(stop) == signal.SIG_IGN:
        signal.signal(stop, handler)
# No test may reach for a network: loaders of weights fail at once, and say so.
os.environ["HF_HUB_OFFLINE"] = "1"
# As commands do at their start; each test begins with the environment of here.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"


LONGEST = (
    "planning/test_step_plan.py",
    "strategies/test_replicas.py",
    "test_resume.py",
    "test_same_gradients.py",
    "planning/test_pipeline.py",
    "strategies/encoder_decoder/test_strategy.py",
    "strategies/test_two_hosts.py",
    "strategies/test_peer_monitor.py",
    "command_line/test_quantize.py",
    "planning/test_planned_run.py",
    "test_checkpoint.py",
    "memory/banding/test_stages.py",
    "reproduce/test_command.py",
    "test_resume_matrix.py",
    "callbacks/test_weight_average.py",
    "campaigns/test_checkpoints.py",
)
"""Files that take a minute or so: begun first, or one core ends with them while the other idles."""


def pytest_collection_modifyitems(items):
    tests = os.path.dirname(__file__)
    places = {os.path.join(tests, name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path), len(places)))


def pytest_collection_finish():
    """Let the collector of cycles pass over what is imported: a collection of that takes 0.3 s."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # libraries say at the exit what was not let go


@pytest.fixture(autouse=True)
def _without_a_network():
    yield
    led_out = LED_OUT.copy()
    LED_OUT.clear()
    assert led_out == []


@pytest.fixture(autouse=True)
def _with_an_environment_of_its_own():
    """Take back what a test left: a run that is told its rank waits for others to come."""
    before = os.environ.copy()
    yield
    os.environ.clear()
    os.environ.update(before)


TRUSTED = dict(parsing_settings["import_path_verdicts"])


@pytest.fixture(autouse=True)
def _with_parsers_that_trust_as_at_first():
    """A process that parsed flags of a stranger trusts nobody's from then on."""
    parsing_settings["import_path_verdicts"] = TRUSTED


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _interruptible():
    """Let SIGINT raise, here and in processes started from here, as it does in a terminal.

    A trainer may have left another handler, and a shell lets what runs in its background ignore it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def smooth_image(rows, columns, seed):
    """A smooth uint16 image of 16 bits: a few waves, as a stand-in for anatomy."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    waves = sum(
        random.uniform(0.2, 1) * np.sin(x / random.uniform(3, 20) + y / random.uniform(3, 20))
        for _ in range(4)
    )
    unit = (waves - waves.min()) / np.ptp(waves)
    return (unit * 65535).astype(np.uint16)


@pytest.fixture
def tiny_dataset(tmp_path):
    """A dataset folder of 8 pairs, about 70x80 pixels, 6 that train and 2 that validate."""
    root = tmp_path / "tiny"
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
    for i in range(8):
        target = smooth_image(70 + i, 80, seed=i)
        raw = (16384 + target // 2).astype(np.uint16)
        np.save(root / f"raw/case{i}.npy", raw)
        np.save(root / f"target/case{i}.npy", target)
        split = "val" if i >= 6 else "train"
        pairs.append(Pair(f"case{i}", f"p{i}", f"raw/case{i}.npy", f"target/case{i}.npy", split))
    write_manifest(root, pairs)
    return root


@pytest.fixture
def tiny_flags(tiny_dataset):
    """Flags of a fit on the tiny dataset, 3 steps per epoch of about 0.1 s on a CPU."""
    return [
        f"--data.root={tiny_dataset}",
        "--data.image_size=64",
        "--data.batch_size=2",
        "--data.num_workers=0",
        "--model.encoder=tu-mobilenetv3_small_050",  # 2 million weights
        "--model.num_scales=auto",
        "--memory_profiler.plan=false",  # it takes seconds
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
