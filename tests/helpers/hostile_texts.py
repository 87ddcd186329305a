"""Recipes and manifests as a stranger, a spreadsheet or a broken disk may make them, by the seed.

Used in a small number by the suite and by the thousand in `tests/campaigns/recipes.py`. What must
not run is planted as well: a module that leaves a file when it is imported or called, and a hook
that notes commands, connections and removed files.
"""

import contextlib
import csv
import io
import random
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml

from radenhance.cli import one_sentence
from radenhance.command_line.trainer import make_trainer
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.pair import Pair
from radenhance.errors import RadenhanceError
from radenhance.flags.declared import parameters_of
from radenhance.flags.help import SECTIONS
from radenhance.flags.parser import parse_flags, usage_errors
from radenhance.flags.recipes import find_recipes, recipes
from radenhance.planning.planned_run import PlannedRun
from radenhance.prepare.check.command import check

CANARY = "planted_canary"
TOUCHED = "canary.touched"
EVENTS = {
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "socket.getaddrinfo",
    "shutil.rmtree",
}

LONGEST = 1500
"""Characters of a sentence or two, with what the parser quotes."""

ATTACKS = [
    {"class_path": "os.system", "init_args": {"command": f"touch {TOUCHED}"}},
    {"class_path": "builtins.exec", "init_args": {"source": f"open('{TOUCHED}', 'w')"}},
    {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", TOUCHED]}},
    {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "a/b", "model": "c"}},
    {"class_path": "torch.load", "init_args": {"f": "x.pt", "weights_only": False}},
    {"class_path": "torch.optim.lr_scheduler.types.FunctionType"},
    {"class_path": "torch.optim.swa_utils.update_bn", "init_args": {"loader": [1]}},
    {"class_path": "lightning.pytorch.cli.LightningCLI"},
    {"class_path": "lightning.pytorch.loggers.WandbLogger"},
    {"class_path": "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree"},
    {"class_path": "radenhance.cli.main"},
    {"class_path": f"{CANARY}.Planted"},
    {"class_path": f"{CANARY}.planted", "init_args": {"x": 1}},
    {"class_path": f"{CANARY}.INSTANCE"},
    {"class_path": "Adam", "dict_kwargs": {"_instantiator": "os.system"}},
    {"class_path": "a..b"},
    {"class_path": ["os.system"]},
    {"class_path": "x" * 5000},
    "os.system",
    f"{CANARY}.planted",
    CANARY,
]

CARRIERS = [
    lambda it: {"class_path": "LambdaLR", "init_args": {"lr_lambda": it}},
    lambda it: {"class_path": "SequentialLR", "init_args": {"schedulers": [it], "milestones": [1]}},
    lambda it: {"class_path": "LambdaCallback", "init_args": {"on_fit_start": it}},
    lambda it: {"class_path": "DDPStrategy", "init_args": {"ddp_comm_hook": it}},
    lambda it: {"class_path": "DDPStrategy", "init_args": {"ddp_comm_state": it}},
    lambda it: {"class_path": "PyTorchProfiler", "dict_kwargs": {"on_trace_ready": it}},
    lambda it: {"class_path": "AsyncCheckpointIO", "init_args": {"checkpoint_io": it}},
    lambda it: {"class_path": "SGD", "init_args": {"lr": it}},
    lambda it: [it],
    lambda it: {"__path__": it},
    lambda it: it,
]
"""What may hand an attack on."""

CLASSES = ["optimizer", "lr_scheduler"]
OF_TRAINER = ["accelerator", "callbacks", "logger", "plugins", "profiler", "strategy"]

VALUES = [
    float("inf"), float("nan"), -1, 0, 1e308, 10**30, 2**63, True, None, "", " ", "\x7f",
    "x" * 60_000, "../../../../etc/passwd", "/dev/zero", "/dev/stdin", "https://localhost:1/a.yaml",
    "memory://a", "${oc.env:HOME}", "=1+1", "\u202e\u0007", "auto", "native", [], {}, [[[[]]]],
    [1] * 1000, {"a": {"b": {"c": 1}}}, {1: 2}, "2001-02-03", "1:2:3", "0x10", "1_000", "--trust",
]  # fmt: skip
"""In the place of any value."""

NUMBERS = [None, True, False, 0, 1, -1, 2, 3, 10**9, 2**63, 10**30, 0.5, -0.5, float("inf"), 1e-300]
"""In the place of a number, which more flags take."""

TEXTS = [
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")),
    "[" * 100_000, "{a: " * 5000, "- " * 5000, "a: " + "9" * 5000, "a: 1" + ":1" * 200_000,
    "model: &m {memory: *m}", "model: {encoder: a}\nmodel: {encoder: b}", "? [a]\n: 1",
    "!!python/object/apply:os.system [touch canary.touched]", "!!python/name:os.system",
    "!!binary Zm9v", "a: 2001-13-45", "<<: [1]", "--- a\n--- b", "%YAML 9.9\n---\na: 1", "&a",
    "model: " + "x" * 100_000, "a: 1\n" * 300_000, "model: other.yaml", "config: other.yaml",
    "trainer: https://localhost:1/a.yaml", "$schema: https://localhost:1/", "true", "3", "[]", "",
    "a: \x00b", "\ufeffmodel:\n  encoder: resnet18", "model: {encoder: *x}", "__path__: x",
    "data: {__default_config__: x}", "seed_everything: {}", "best_checkpoint: [1]",
    "trust_recipe: 1",
]  # fmt: skip


def planted_canary(folder):
    """Write the module that leaves a file in the working directory when it is touched.

    Args:
        folder: A folder that is put on sys.path.
    """
    touch = f"open({TOUCHED!r}, 'w').close()"
    lines = [touch, "class Planted:", f"    def __init__(self, *a, **k): {touch}", "INSTANCE = 1"]
    lines += [f"def planted(*a, **k): {touch}"]
    (Path(folder) / f"{CANARY}.py").write_text("\n".join(lines))
    sys.path.insert(0, str(folder))


def hostile_recipe(seed):
    """Return what was done, and the bytes of a recipe."""
    draw = random.Random(seed)
    kind = draw.choice([_attacked, _attacked, _changed, _changed, _flipped, _encoded, _text])
    return kind.__name__.strip("_"), kind(draw)


def _attacked(draw):
    value = draw.choice(CARRIERS)(draw.choice(ATTACKS))
    if draw.random() < 0.3:
        value = draw.choice(CARRIERS)(value)
    group, names = draw.choice([("model", CLASSES), ("trainer", OF_TRAINER)])
    return yaml.safe_dump({group: {draw.choice(names): value}}).encode()


def _changed(draw):
    recipe = {}
    for _ in range(draw.randint(1, 3)):
        section = draw.choice(SECTIONS)
        name = draw.choice([one.name for one in parameters_of(section.class_path)])
        within = recipe
        for part in section.prefix.split("."):
            within = within.setdefault(part, {})
            if not isinstance(within, dict):
                break
        else:
            within[name] = draw.choice(draw.choice([VALUES, NUMBERS]))
    return yaml.safe_dump(recipe, allow_unicode=True).encode()


def _built_in(draw):
    return draw.choice(sorted(recipes().values())).read_bytes()


def _flipped(draw):
    content = bytearray(_built_in(draw))
    for _ in range(draw.choice([1, 3, 30])):
        place = draw.randrange(len(content))
        what = draw.randrange(3)
        if what == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif what == 1:
            del content[place : place + draw.randrange(1, 20)]
        else:
            content[place:place] = draw.choice([b"\n", b" ", b":", b"- ", b"{", b"*a", b"!", b"\t"])
    return bytes(content)


def _encoded(draw):
    text = _built_in(draw).decode() + "# \u00e9\n"
    return draw.choice(
        [text.encode("utf-16"), text.encode("latin-1"), text.encode("utf-8-sig"),
         draw.randbytes(300), b"\0" * 100, b"#" * (2**20 + 1), text.encode()[:-1] + b"\xff"]
    )  # fmt: skip


def _text(draw):
    return draw.choice(TEXTS).encode()


CELLS = [
    "", " ", "inf", "nan", "-1", "0", "1e999", "9" * 5000, "0x10", "1_000", "\u0661", "x" * 5000,
    "x" * 140_000, "..", "../a", "a/b", "a\0b", "=cmd|' /C calc'!A0", "/etc/passwd", "/dev/zero",
    "raw", "\x1b[31m", "train", "test", "raw/" + "a" * 300 + ".npy", "1.5", "True", "\ud7ff",
    "a\nb", 'q"q', "a,b", "https://localhost:1/a.npy", "\u202eabc",
]  # fmt: skip


def hostile_dataset(seed):
    """Return what was done, and the bytes of a pairs.csv and of a dataset.yaml."""
    draw = random.Random(seed)
    if draw.random() < 0.4:
        kind = draw.choice([_declared, _encoded_declaration, _text])
        return kind.__name__.strip("_"), _csv(_rows()), kind(draw)
    kind = draw.choice([_cells, _cells, _cells, _columns, _flipped_rows, _encoded_rows])
    return kind.__name__.strip("_"), kind(draw), b""


def _rows():
    columns = ["case_id", "patient_id", "raw_path", "target_path", "split", "rows", "cols"]
    lines = [
        [case, case, f"raw/{case}.npy", f"target/{case}.npy", split, 64, 64]
        for case, split in (("a", "train"), ("b", "val"), ("c", "test"))
    ]
    return [columns, *lines]


def _csv(rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _cells(draw):
    rows = _rows()
    for name in draw.sample(sorted(vars(Pair)["__dataclass_fields__"]), draw.randint(0, 2)):
        if name not in rows[0]:
            for row, value in zip(rows, [name, *draw.choices(CELLS, k=3)], strict=True):
                row.append(value)
    for _ in range(draw.randint(0, 2)):
        draw.choice(rows[1:])[draw.randrange(7)] = draw.choice(CELLS)
    return _csv(rows)


def _columns(draw):
    rows = _rows()
    return draw.choice(
        [
            lambda: _csv([[*row, row[draw.randrange(7)]] for row in rows]),
            lambda: _csv([[f"c{n}" for n in range(5000)] + rows[0], *rows[1:]]),
            lambda: _csv([rows[0], *([*row, *range(3000)] for row in rows[1:])]),
            lambda: _csv([row[: draw.randrange(1, 7)] for row in rows]),
            lambda: _csv(rows[1:]),
            lambda: _csv(rows[:1]),
            lambda: _csv([[], *rows, [], [""]]),
            lambda: _csv([rows[0], *rows[1:] * 20]),
            lambda: _csv([rows[0], *([*row[:4], "train", *row[5:]] for row in rows[1:])]),
            lambda: _csv([["CASE_ID", *rows[0][1:]], *rows[1:]]),
        ]
    )()


def _flipped_rows(draw):
    content = bytearray(_csv(_rows()))
    for _ in range(draw.choice([1, 3, 30])):
        place = draw.randrange(len(content))
        if draw.random() < 0.5:
            content[place] ^= 1 << draw.randrange(8)
        else:
            content[place:place] = draw.choice([b'"', b",", b"\n", b"\r", b"\0", b";", b"\t"])
    return bytes(content)


def _encoded_rows(draw):
    text = _csv(_rows()).decode() + "\u00e9,\u00e9,raw/a.npy,target/a.npy,train,64,64\n"
    return draw.choice(
        [text.encode("utf-16"), text.encode("latin-1"), text.encode("utf-8-sig"), b"",
         draw.randbytes(300), b"\0" * 100, b'"' + b"x" * 10_000_000,
         text.replace(",", ";").encode()]
    )  # fmt: skip


def _declared(draw):
    entries = {"name": "n", "licence": "l", "raw": {"bits": 12}, "target": {}}
    for _ in range(draw.randint(1, 2)):
        value = draw.choice(VALUES)
        if draw.random() < 0.5:
            entries[draw.choice([*entries, "species", "targets", "other"])] = value
        else:
            entries["raw"] = {draw.choice(["bone", "bits", "relationship", "override"]): value}
    return yaml.safe_dump(entries, allow_unicode=True).encode()


def _encoded_declaration(draw):
    text = "name: \u00e9\nraw: {bits: 12}\n"
    return draw.choice(
        [text.encode("utf-16"), text.encode("latin-1"), text.encode("utf-8-sig"),
         draw.randbytes(300), b"\0" * 100, b"#" * (2**20 + 1)]
    )  # fmt: skip


noted = []


def note(event, args):
    """Note an event that no recipe may bring about; the parser itself asks Python for its path."""
    if event in EVENTS and not (event == "subprocess.Popen" and args[0] == sys.executable):
        noted.append(f"{event} {args}")


def try_recipe(content, *, plans=False):
    """Parse a recipe and make what it describes.

    Args:
        content: Its bytes.
        plans: Whether to plan a step of it as well.
    """
    Path("recipe.yaml").write_bytes(content)
    words = find_recipes(["--config", "recipe.yaml"])
    flags = parse_flags("fit", [*words, "--trainer.accelerator=cpu", "--model.encoder=resnet18"])
    if plans:
        PlannedRun(flags).plan((64, 64))
    with usage_errors("fit"):
        make_trainer(flags, flags.instantiate())


def try_dataset(pairs, declaration):
    """Read of a dataset what `check` and a training read.

    Args:
        pairs: Bytes of pairs.csv.
        declaration: Bytes of dataset.yaml.
    """
    root = Path("dataset")
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True, exist_ok=True)
        for case in "abc":
            np.save(root / half / f"{case}.npy", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    (root / "pairs.csv").write_bytes(pairs)
    (root / "dataset.yaml").write_bytes(declaration)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        check(root, num_processes=1)
    data = RadiographDataModule(root=root, num_workers=0, image_size=64)
    data.setup("fit")


def outcome_of(attempt):
    """Return how an attempt ended: done, refused, or what is wrong with its end."""
    noted.clear()
    try:
        attempt()
        ended = "done"
    except RadenhanceError as error:
        sentence = one_sentence(error)
        ended = "refused"
        if not sentence or len(sentence) > LONGEST:
            ended = f"WRONG: {len(sentence)} characters: {sentence[:100]}"
    except BaseException as error:  # SystemExit too
        # the command line says what a system said of a file
        ended = (
            "refused"
            if getattr(error, "filename", None)
            else f"WRONG: {type(error).__name__}: {str(error)[:200]}"
        )
    if Path(TOUCHED).exists():
        Path(TOUCHED).unlink()
        ended = "WRONG: code ran"
    return f"WRONG: {noted[0]}" if noted else ended
