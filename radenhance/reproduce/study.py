"""The runs of a study, each a `radenhance fit` in a folder of its own.

A study takes hours or days and will be interrupted. What it has done is therefore read from its
folders and never remembered elsewhere: the same command goes on, and another one is refused there.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.flags.recipes import recipes
from radenhance.reproduce.paper import RECIPES
from radenhance.runs import newest_checkpoint
from radenhance.text_files import read_yaml

FINISHED = "finished.json"
FAILED = "failed.txt"
SETTINGS = "study.json"
RUNS = "runs"
AS_BEFORE = {"batch_size": 1, "learning_rate": "the recipes' own"}
"""What earlier versions, whose notes do not name it, ran with."""


@dataclass(frozen=True)
class Study:
    """What to run.

    Args:
        out: Folder of runs and report.
        data: Dataset folder.
        sizes: Shorter sides of the images in pixels; the tables of losses are of the first.
        epochs: Number of epochs of each run.
        recipes: Names of the recipes without .yaml.
        seeds: Seeds with which each recipe is trained.
        encoder: Encoder in place of the recipes' own, or None.
        memory_sizes: Sides in pixels for which the tables of memory are made.
        batch_size: Images that BatchNorm sees at a time, on one device and on two.
        learning_rate: Learning rate of Adam in place of the recipes' own, or None.

    Raises:
        UsageError: A recipe does not exist.
    """

    out: Path
    data: Path
    sizes: tuple[int, ...] = (512, 1024, 2048)
    epochs: int = 50
    recipes: tuple[str, ...] = RECIPES
    seeds: tuple[int, ...] = (0,)
    encoder: str | None = None
    memory_sizes: tuple[int, ...] = (512, 1024, 2048)
    batch_size: int = 1
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse recipes that do not exist."""
        for name in self.recipes:
            if f"{name}.yaml" not in recipes():
                raise UsageError(
                    f"--recipes {name} is no recipe; choose among "
                    f"{', '.join(sorted(path.stem for path in recipes().values()))}"
                )

    @property
    def runs(self) -> list["Run"]:
        """All runs, small sizes and the first seeds first."""
        return [
            Run(self, recipe, size, seed)
            for size in self.sizes
            for seed in self.seeds
            for recipe in self.recipes
        ]

    def settings(self) -> dict[str, Any]:
        """Return what all runs of the folder must have in common."""
        return {
            "data": _told_apart(self.data),
            "epochs": self.epochs,
            "encoder": self.encoder or "the recipes' own",
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate or "the recipes' own",
        }

    def claim(self) -> None:
        """Note the settings in the folder.

        Raises:
            UsageError: The folder holds runs with other settings.
        """
        path = self.out / SETTINGS
        if path.exists():
            before = AS_BEFORE | json.loads(path.read_text(encoding="utf-8"))
            if os.sep in before["data"]:  # as earlier versions noted it
                before["data"] = _told_apart(Path(before["data"]))
            for name, value in self.settings().items():
                if before[name] != value:
                    others = f"{name} {before[name]}, not {value}"
                    if name == "data":
                        others = f"other radiographs than those of {self.data}"
                    raise UsageError(
                        f"{self.out} holds runs with {others}; choose another folder, or the same "
                        f"settings"
                    )
            return
        self.out.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(self.settings(), indent=2).encode())


@dataclass(frozen=True)
class Run:
    """One `radenhance fit`.

    Args:
        study: Study with the settings that all its runs share.
        recipe: Name without .yaml.
        size: Shorter side of the images in pixels.
        seed: Seed of the first weights and of the order of the images.
    """

    study: Study
    recipe: str
    size: int
    seed: int

    @property
    def folder(self) -> Path:
        """Folder of the run's logs and checkpoints."""
        return self.study.out / RUNS / f"{self.recipe}-{self.size}px-seed{self.seed}"

    @property
    def title(self) -> str:
        """Recipe, size and seed as a reader takes them."""
        return f"{self.recipe}, {self.size} px, seed {self.seed}"

    @property
    def num_processes(self) -> int:
        """Number of processes: one, or two for encoder and decoder."""
        path = recipes()[f"{self.recipe}.yaml"]
        content = read_yaml(path)
        nodes: int = content.get("trainer", {}).get("num_nodes", 1)
        return nodes

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return (self.folder / FINISHED).exists()

    @property
    def checkpoint(self) -> Path | None:
        """The last state of the run, if there is one."""
        return newest_checkpoint("last", self.folder)

    def flags(self, accelerator: str) -> list[str]:
        """Return the flags of `radenhance fit`.

        The micro-batches of two devices are the batches of one device, so that BatchNorm sees the
        same on both.
        """
        study = self.study
        flags = {
            "--config": str(recipes()[f"{self.recipe}.yaml"]),
            "--seed_everything": self.seed,
            "--data.root": study.data.resolve(),
            "--data.image_size": self.size,
            "--data.batch_size": study.batch_size,
            "--trainer.max_epochs": study.epochs,
            "--trainer.accelerator": accelerator,
            "--trainer.devices": 1,
            "--trainer.enable_progress_bar": "false",
            "--trainer.enable_model_summary": "false",
            "--trainer.default_root_dir": self.folder.resolve(),
        }
        if study.encoder:
            flags["--model.encoder"] = study.encoder
        if study.learning_rate:
            flags["--model.optimizer"] = "torch.optim.Adam"
            flags["--model.optimizer.lr"] = study.learning_rate
        if self.num_processes > 1 and study.batch_size > 1:
            flags["--trainer.strategy.micro_batch_size"] = study.batch_size
        if accelerator == "cpu":
            flags["--data.num_workers"] = 0
        words = [str(word) for pair in flags.items() for word in pair]
        return [*words, "--ckpt_path", "last"] if self.checkpoint else words

    def command(self, accelerator: str) -> list[str]:
        """Return the command that starts one of the run's processes."""
        return [sys.executable, "-m", "radenhance", "fit", *self.flags(accelerator)]


def _told_apart(folder: Path) -> str:
    """Return what tells a folder from others, and not its name, which may be a patient's."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
