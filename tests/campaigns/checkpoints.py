"""Hostile and damaged checkpoints and int8 models: each is refused in a sentence, or does no harm.

    python tests/campaigns/checkpoints.py                    # 2,000 checkpoints, 500 int8 models
    python tests/campaigns/checkpoints.py 200 50 > table.md

Every file is opened, made a network of and, where that worked, resumed from for a step, in a
process that may take 3 GiB more than it has. Harm is what Python reports to an audit hook: a
command, a connection, a file written or removed outside the run's folder; a crash, a traceback;
and weights or images that are not, to the bit, those of the file before it was damaged.
"""

import io
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from onnx import TensorProto, helper, numpy_helper
from small_int8 import small_int8
from torch.utils.data import DataLoader

from radenhance.checkpoint import Checkpoint, WholeFileCheckpointIO
from radenhance.command_line.run import restored_or_refused
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError
from radenhance.memory.quantization.int8 import Int8Network

ENCODER = "tu-mobilenetv3_small_050"
KEY = ModelCheckpoint(monitor="val/loss").state_key
IMAGE = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64)
MORE_MEMORY = 3 * 2**30
MOST_SECONDS = 20
BATCH = 50
HARMFUL = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.",
    "socket.",
    "pty.",
    "webbrowser.",
)
ON_FILES = ("os.remove", "os.rmdir", "os.rename", "os.mkdir", "os.link", "os.symlink", "shutil.")


class Hostile:
    """Runs a command when a pickle of it is loaded."""

    def __init__(self, call, *arguments):
        self.made = call, arguments

    def __reduce__(self):
        return self.made


def base():
    """Content of a checkpoint after a step."""
    torch.manual_seed(0)
    module = ContrastEnhancer(ENCODER, num_scales="auto")
    trainer = trainer_of(Path("base"), 1)
    trainer.fit(module, loader(), loader())
    content = torch.load("base/kept.ckpt", weights_only=True)
    data = {"image_size": 64, "intensity_range": "auto", "outside_field": "keep"}
    return content | {"datamodule_hyper_parameters": data}


def loader():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 64, 64, generator=generator)
    return DataLoader([{"raw": image, "target": image.sqrt(), "case": "a"}])


def trainer_of(folder, epochs):
    best = ModelCheckpoint(dirpath=folder, filename="kept", monitor="val/loss")
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[best],
        plugins=[WholeFileCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def rezipped(data, change, compression=zipfile.ZIP_STORED):
    """Write the archive again with records that `change(name, record)` gives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for record in old.infolist():
            changed = change(record.filename, old.read(record))
            if changed is not None:
                new.writestr(record.filename, changed)
    return buffer.getvalue()


def leaves(tree, way=()):
    """Yield the ways to all values but weights."""
    if isinstance(tree, dict | list | tuple):
        for name, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if name != "state_dict" or way:
                yield (*way, name)
                yield from leaves(one, (*way, name))


def put(tree, way, value):
    """Return a tree with another value at the end of a way."""
    if not way:
        return value
    changed = put(tree[way[0]], way[1:], value)
    if isinstance(tree, dict):
        return {**tree, way[0]: changed}
    return type(tree)([changed if i == way[0] else one for i, one in enumerate(tree)])


def deep(kind, levels):
    value = kind()
    for _ in range(levels):
        value = kind([value]) if kind is not dict else {"a": value}
    return value


VALUES = (
    None, True, -1, 0, 2**62, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 9999,
    "\x1b[2J\x07", "=cmd()", "../../etc", "http://example.com/x", [], {}, (), [[]], {"lr": "x"},
    torch.zeros(3), torch.tensor(float("nan")), torch.zeros(1).expand(10**9),
    {"_instantiator": "lightning.pytorch.cli.instantiate_module"},
    {"class_path": "os.system", "init_args": {"command": "touch harm"}},
)  # fmt: skip

SETTINGS = {
    "encoder": ("tu-hf-hub:a/b", "tu-hf_hub:a/b", "tu-local-dir:/tmp", "resnet34", "imagenet",
                "http://a/b", "../x", "tu-", "tu-resnet18.a:b", "resnext101_32x48d",
                "tu-vit_giant_patch14_dinov2"),
    "num_scales": (0, 6, True, "5", 2**40, "AUTO", 2.0),
    "momentum": (0, 1, 0.0, 1.5, -0.1, "0.9", True),
    "quantization": ("int8", None, True, ["qat"]),
    "image_size": (0, -1, 10**9, True, "512", 64.0),
    "intensity_range": ("AUTO", None, [0, 1]),
    "output": ("IMAGE", None, 1),
    "outside_field": ("auto", None, True),
}  # fmt: skip


def flips(content, rng):
    data = bytearray(saved(content))
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def ends(content, rng):
    data = saved(content)
    at = rng.randrange(len(data))
    return rng.choice((data[:at], data[at:], data[:at] + data[at + 4096 :], data + data[:at]))


def swaps(content, rng):
    data = bytearray(saved(content))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = [r for r in archive.infolist() if r.file_size > 64]
    a, b = rng.sample(records, 2)
    size = min(a.file_size, b.file_size)
    starts = [r.header_offset + 30 + len(r.filename) + 64 for r in (a, b)]
    first, second = (bytes(data[at : at + size]) for at in starts)
    data[starts[0] : starts[0] + size], data[starts[1] : starts[1] + size] = second, first
    return bytes(data)


def settings(content, rng):
    name = rng.choice(list(SETTINGS))
    key = "hyper_parameters"
    if name not in content[key]:
        key = "datamodule_hyper_parameters"
    return saved(put(content, (key, name), rng.choice(SETTINGS[name] + VALUES)))


def types(content, rng):
    for _ in range(rng.choice((1, 1, 3))):
        content = put(content, rng.choice(list(leaves(content))), rng.choice(VALUES))
    return saved(content)


def extra(content, rng):
    """Add entries that Lightning's own loader believes."""
    names = ("_instantiator", "class_path", "encoder_weights", "optimizer", "callbacks")
    more = {rng.choice(names): rng.choice(("imagenet", *VALUES)) for _ in range(3)}
    return saved(content | {"hyper_parameters": content["hyper_parameters"] | more} | more)


def nested(content, rng):
    """Put something deep, or something small that is a million things, among the settings."""
    shared = "laugh"
    for _ in range(30):
        shared = [shared] * 10
    name = rng.choice(("loops", "lr_schedulers", "callbacks", "hyper_parameters"))
    levels, kind = rng.choice((40, 150)), rng.choice((dict, list, tuple))
    value = rng.choice((deep(kind, levels), shared))
    old = content[name]
    return saved(content | {name: [*old, value] if isinstance(old, list) else old | {"x": value}})


def keys(content, rng):
    """Nest tuples as the key of a dict, written as opcodes, as no Python object could be."""
    levels = rng.choice((1000, 60_000, 2_000_000))
    code = b"\x80\x02})" + b"\x85" * levels + b"K\x01s."
    return rezipped(saved({"a": 1}), lambda n, r: code if n.endswith("data.pkl") else r)


def bombs(content, rng):
    zeros = torch.zeros(2**24)
    lies = rng.randrange(5)
    if lies == 0:
        data = saved(content | {"x": [zeros]})
        return rezipped(data, lambda n, r: r, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    if lies == 1:
        return saved(content | {"x": [zeros[:1].expand(2 ** rng.randrange(20, 60))]})
    if lies == 2:
        return saved(content | {"x": [zeros[: 2**20].clone()] * 100_000})
    if lies == 3:
        state = dict(content["state_dict"])
        name = rng.choice(list(state))
        state[name] = zeros[:1].expand(2 ** rng.randrange(20, 50))
        return saved(content | {"state_dict": state})
    code = pickle.dumps({"x": Hostile(bytearray, 2**40)}, 2)
    return rezipped(saved({"a": 1}), lambda n, r: code if n.endswith("data.pkl") else r)


def globals_(content, rng):
    calls = (
        (os.system, "touch harm"), (eval, "1"), (exec, "import os"), (__import__, "webbrowser"),
        (os.remove, "precious/file"), (open, "harm", "w"), (torch.load, "precious/file"),
        (torch.hub.load, "a/b", "c"), (getattr, "x", "upper"), (bytearray, 2**40),
        (torch.device, "cuda"), (set, [1]), (Path, "x"),
    )  # fmt: skip
    way = rng.choice([way for way in leaves(content) if len(way) < 4])
    buffer = io.BytesIO()
    torch.save(put(content, way, Hostile(*rng.choice(calls))), buffer)
    return buffer.getvalue()


def paths(content, rng):
    here = Path.cwd()
    folder = here / "run"
    names = [str(one) for one in (
        folder / "../precious", folder / "../precious/file", folder / "../precious/a.ckpt",
        here / "precious/a.ckpt", "precious", "/", "~", folder, folder / "sub.ckpt",
        folder / "sub.ckpt/../../precious/a.ckpt", "file:///" + str(here / "precious"), "memory://a",
    )]  # fmt: skip
    score = torch.tensor(rng.choice((1e9, -1e9, float("nan"))))
    state = {
        "monitor": "val/loss",
        "dirpath": rng.choice((str(folder), "run", *names)),
        "best_k_models": {rng.choice(names): score for _ in range(rng.randrange(4))},
        "kth_value": score,
        "best_model_score": score,
        "current_score": score,
    }
    for name in ("kth_best_model_path", "best_model_path", "last_model_path"):
        state[name] = rng.choice((*state["best_k_models"], *names))
    return saved(content | {"callbacks": {KEY: state}})


def numbers(content, rng):
    """Put what is no number among the weights, with right checksums."""
    state = dict(content["state_dict"])
    name = rng.choice([name for name, one in state.items() if one.is_floating_point()])
    state[name] = state[name].clone()
    flat = state[name].view(-1)
    flat[rng.randrange(len(flat))] = rng.choice((float("nan"), float("inf"), -float("inf")))
    return saved(content | {"state_dict": state})


def shapes(content, rng):
    state = dict(content["state_dict"])
    name = rng.choice(list(state))
    others = (state[name][None], torch.zeros(7), torch.zeros(0), "x", None, {"a": 1})
    if rng.random() < 0.3:
        del state[name]
    else:
        state[name] = rng.choice(others)
    return saved(content | {"state_dict": state})


def pickles(content, rng):
    """Change bytes of the pickle, with right checksums: the file says other things then."""

    def change(name, record):
        if not name.endswith("data.pkl"):
            return record
        changed = bytearray(record)
        for _ in range(rng.choice((1, 4, 32))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)

    return rezipped(saved(content), change)


CHECKPOINTS = (
    flips, ends, swaps, settings, types, extra, nested, keys, bombs, globals_, paths, numbers,
    shapes, pickles,
)  # fmt: skip
SAY_OTHER_THINGS = (pickles,)
"""Whose files are not damaged but others: what they load is not compared."""


def onnx_bytes(model, rng):
    data = bytearray(model.SerializeToString())
    for _ in range(rng.choice((1, 1, 4))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])


def onnx_numbers(model, rng):
    tensor = rng.choice(list(model.graph.initializer))
    lie = rng.randrange(4)
    if lie == 0:
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(("../precious/file", "/etc/passwd", "a"))
    elif lie == 1:
        tensor.dims[:] = rng.choice(([2**40], [-1], [2**20] * 3, []))
    elif lie == 2:
        tensor.data_type = rng.choice((0, 8, 16, 99))
    else:
        wrong = np.full(tuple(tensor.dims), rng.choice((np.nan, np.inf)), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wrong, tensor.name))
    return unsealed(model)


def onnx_graph(model, rng):
    graph = model.graph
    node = rng.choice(list(graph.node))
    lie = rng.randrange(6)
    if lie == 0:
        node.op_type = rng.choice(("Loop", "If", "Scan", "ConstantOfShape", "Expand", "Range", "X"))
    elif lie == 1:
        node.domain = rng.choice(("com.microsoft", "evil", "ai.onnx.ml"))
    elif lie == 2:
        last = graph.node[-1].output[0]
        for i in range(40):
            graph.node.append(helper.make_node("Concat", [last, last], [f"twice{i}"], axis=1))
            last = f"twice{i}"
        graph.output[0].name = last
    elif lie == 3:
        for one in graph.node:
            if one.op_type == "Conv":
                del one.attribute[:]
                one.attribute.append(helper.make_attribute("pads", [2 ** rng.randrange(40)] * 4))
    elif lie == 4:
        scales = np.array([1, 1, 1e6, 1e6], np.float32)
        (old,) = (t for t in graph.initializer if t.name == "twice")
        old.CopyFrom(numpy_helper.from_array(scales, "twice"))
    else:
        node.input[0] = rng.choice(("missing", node.output[0], ""))
    return unsealed(model)


def unsealed(model):
    del model.metadata_props[:]
    return model.SerializeToString()


MODELS = (onnx_bytes, onnx_numbers, onnx_graph)


def open_checkpoint(path, original):
    """Open, make a network, and resume; return whether the weights are the original's."""
    checkpoint = Checkpoint.open(path)
    module = ContrastEnhancer.from_checkpoint(checkpoint)
    state = module.state_dict()
    equal = all(torch.equal(state[name], one) for name, one in original["state_dict"].items())
    trainer = trainer_of(Path("run"), 2)
    with restored_or_refused(SimpleNamespace(checkpoint=path), trainer):
        trainer.fit(module, loader(), loader(), ckpt_path=path)
    return equal


def open_model(path, original):
    """Run an int8 model; return whether its image is the original's."""
    return torch.equal(Int8Network(path)(IMAGE), original)


class Watch:
    """Notes what Python reports of a process while a file is opened."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.note)

    def note(self, event, arguments):
        if not self.on:
            return
        told = f"{event} {str(arguments)[:80]}"
        if event.startswith(HARMFUL):
            self.seen.append(told)
        elif event.startswith(ON_FILES) or (event == "open" and _writes(arguments)):
            where = str(arguments[0])
            own = Path.cwd() / "run"
            if own not in Path(os.path.abspath(where)).parents and Path(where).name != "run":
                self.seen.append(told)


def _writes(arguments):
    mode, flags = arguments[1], arguments[2]
    by_mode = isinstance(mode, str) and set(mode) & set("wax+")
    return bool(by_mode) or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))


def outcome(opened, path, original, watch):
    """Return what became of a file, and the message or what was wrong."""
    watch.seen.clear()
    watch.on = True
    try:
        equal = opened(path, original)
        result = ("loaded" if equal else "changed", "")
    except (RadenhanceError, MisconfigurationException) as error:
        text = str(error)
        is_sentence = len(text.splitlines()) == 1 and text.isprintable() and len(text) < 600
        result = ("refused", text) if is_sentence else ("no sentence", text)
    except BaseException:
        result = ("traceback", traceback.format_exc())
    finally:
        watch.on = False
    if watch.seen or not Path("precious/file").exists() or Path("harm").exists():
        result = ("harm", "; ".join(watch.seen))
    return result


def child(jobs, opened, original, pipe):
    """Open the files of a batch and report each as a line."""
    warnings.simplefilter("ignore")
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE_MEMORY, taken + MORE_MEMORY))
    watch = Watch()
    for number, path in jobs:
        signal.alarm(MOST_SECONDS)
        start = time.monotonic()
        result, text = outcome(opened, path, original, watch)
        signal.alarm(0)
        seconds = time.monotonic() - start
        line = f"{number}\t{result}\t{seconds:.3f}\t{text[-1500:]!r}\n"
        os.write(pipe, line.encode("utf-8", "replace"))


def run_batch(jobs, opened, original):
    """Yield (number, outcome, seconds, message); who ends the process is a crash."""
    left = list(jobs)
    while left:
        read, write = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(read)
            try:
                child(left, opened, original, write)
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines:
            told = [line.rstrip("\n").split("\t", 3) for line in lines]
        _, status = os.waitpid(process, 0)
        for number, result, seconds, text in told:
            yield int(number), result, float(seconds), text
        left = left[len(told) :]
        if left:
            (number, _), *left = left
            yield number, "crash", 0.0, f"status {status}"


def campaign(families, count, made_of, opened, original, seed=0):
    """Yield (family, outcome, seconds, message) of `count` files."""
    Path("precious").mkdir(exist_ok=True)
    Path("precious/file").write_text("of a patient")
    Path("run/sub.ckpt").mkdir(parents=True, exist_ok=True)
    for begin in range(0, count, BATCH):
        jobs, family_of = [], {}
        for number in range(begin, min(begin + BATCH, count)):
            family = families[number % len(families)]
            rng = random.Random(f"{seed} {number}")
            path = Path(f"mutant{number}")
            path.write_bytes(family(made_of(), rng))
            jobs.append((number, path))
            family_of[number] = family
        for number, result, seconds, text in run_batch(jobs, opened, original):
            family = family_of[number]
            if result == "changed" and family in SAY_OTHER_THINGS:
                result = "loaded"
            yield family.__name__.strip("_"), result, seconds, text
        for _, path in jobs:
            path.unlink()


def table(rows):
    """Return the rows as Markdown, by family."""
    counts, slowest = defaultdict(Counter), Counter()
    for family, result, seconds, _ in rows:
        counts[family][result] += 1
        slowest[family] = max(slowest[family], seconds)
    heads = ("family", "files", "refused in a sentence", "loaded", "anything else", "longest, s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for family, found in counts.items():
        rest = found.total() - found["refused"] - found["loaded"]
        cells = (family, found.total(), found["refused"], found["loaded"], rest)
        lines.append(f"| {' | '.join(map(str, cells))} | {slowest[family]:.1f} |")
    return "\n".join(lines)


def all_rows(num_checkpoints, num_models, seed=0):
    """Yield the rows of both campaigns, run in the working folder."""
    torch.set_num_threads(1)
    content = base()
    yield from campaign(
        CHECKPOINTS, num_checkpoints, lambda: content, open_checkpoint, content, seed
    )
    Path("whole.onnx").write_bytes(small_int8().SerializeToString())
    expected = Int8Network(Path("whole.onnx"))(IMAGE)
    yield from campaign(MODELS, num_models, small_int8, open_model, expected, seed)


def main():
    """Print the table, and whatever was neither refused nor harmless."""
    counts = [int(word) for word in sys.argv[1:3]] or [2000, 500]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = list(all_rows(*counts))
    sys.stdout.write(table(rows) + "\n")
    wrong = [row for row in rows if row[1] not in ("refused", "loaded")]
    for family, result, _, text in wrong:
        sys.stderr.write(f"{family}: {result}: {text}\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
