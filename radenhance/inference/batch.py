"""A night's batch: each radiograph is enhanced, and each file accounted for, whatever it is.

    look at all headers -> for each file: decode (ahead) -> enhance -> write -> note

Only what would go wrong for all that follow ends the batch: a full disk, a folder that cannot be
written to. A file that is no raw radiograph is skipped, and a damaged one is listed as failed.
"""

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from radenhance import __version__
from radenhance.arrays import Image
from radenhance.dataset.species import species_of
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import Source, read_source
from radenhance.dicom.write import write_png
from radenhance.errors import (
    BatchError,
    DiskError,
    MachineError,
    NoRadiographError,
    RadenhanceError,
    RefusedError,
    UsageError,
)
from radenhance.files import replace_file
from radenhance.inference.ensemble import Ensemble
from radenhance.inference.guard.guard import Guard, Verdict
from radenhance.inference.journal import JOURNAL, Journal, Outcome, Record
from radenhance.inference.model import Enhancer, NetworkEnhancer
from radenhance.inference.naming import output_name
from radenhance.inference.outputs import Output
from radenhance.inference.sources import Candidate, look_at, words_of
from radenhance.prepare.identity import blacked_out, masked, unwarned
from radenhance.prepare.source import FoundFile, reason

EXIT_CODES: dict[Outcome, int] = {"out of memory": 3, "failed": 4}
NOTHING_ENHANCED = 2

DISAGREEMENT = ".disagreement.png"
"""What the second image of an output is called, after its name."""

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Settings:
    """How files are enhanced and written.

    Args:
        enhancer: What enhances them.
        output: How they are written.
        declaration: What the user declares about files that do not.
        disagreement: Whether a second image shows where the networks of an Ensemble disagree.
        guard: What compares outputs with their sources; it is calibrated for the network.
        refuse: Whether an output that the guard does not accept is not written.

    Raises:
        UsageError: There is only one network to disagree with itself, or not one to guard.
    """

    enhancer: Enhancer
    output: Output = Output()
    declaration: Declaration = Declaration()
    disagreement: bool = False
    guard: Guard | None = None
    refuse: bool = False

    def __post_init__(self) -> None:
        if self.guard is not None and not isinstance(self.enhancer, NetworkEnhancer):
            raise UsageError("a guard is calibrated for one network; name one, or leave it out")
        if self.disagreement and not isinstance(self.enhancer, Ensemble):
            raise UsageError(
                "a disagreement is that of several networks; name two or more, or leave it out"
            )

    @property
    def recorded(self) -> dict[str, str]:
        """What decides what an output is, as text."""
        return {
            "enhancer": self.enhancer.description,
            "output": repr(self.output),
            "declaration": repr(self.declaration),
            "disagreement": repr(self.disagreement),
            "guard": repr(self.guard and self.guard.calibration),
            "refuse": repr(self.refuse),
        }


@dataclass(frozen=True)
class _Made:
    enhanced: Image
    disagreement: Image | None = None
    verdict: Verdict | None = None


class Batch:
    """Enhances files into a folder.

    Args:
        out: The folder of the outputs; it is made.
        settings: How.
        resume: Whether to go on where an earlier batch into that folder stopped.
        quiet: Whether to show no progress.

    Raises:
        UsageError: `out` is a file, or was begun with other settings.
        RadenhanceError: The folder cannot be written to.
    """

    def __init__(
        self, out: Path, settings: Settings, *, resume: bool = False, quiet: bool = False
    ) -> None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file, expected a folder for the enhanced images")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RadenhanceError(f"{out} cannot be made: {error.strerror}") from error
        self.out = out
        self.settings = settings
        self.quiet = quiet
        begin = Journal.resume if resume else Journal.begin
        self.journal = begin(out, settings.recorded)
        self.records: dict[str, Record] = {}
        done = self.journal.records.values()
        self._names = {record.output.rpartition(".")[0] for record in done if record.output}
        self._words: frozenset[str] = frozenset()

    def run(
        self, files: Sequence[FoundFile], *, stop: Callable[[], bool] = lambda: False
    ) -> list[Record]:
        """Enhance files that are not done yet, and return what became of each of them, in order.

        Args:
            files: The files.
            stop: Whether to leave out those that follow, asked after each image.

        Raises:
            DiskError: The disk is full or fails; what was enhanced before stays.
        """
        candidates = [look_at(file) for file in files]
        self._words |= words_of(candidates)
        before = {c.key: self.journal.records[c.key] for c in candidates if self._is_done(c)}
        self.records |= before
        new = [candidate for candidate in candidates if candidate.key not in before]
        shown = tqdm(
            total=len(candidates),
            initial=len(before),
            desc="Enhancing",
            unit="image",
            disable=self.quiet or not new,
        )
        with shown as progress, unwarned():
            for candidate, source in _ahead(self._decode, new):
                record = self._enhanced(candidate, source)
                self.records[record.key] = record
                self.journal.add(record)
                progress.update()
                if stop():
                    break
        ended = takewhile(lambda candidate: candidate.key in self.records, candidates)
        return [self.records[candidate.key] for candidate in ended]

    def report(self, seconds: float) -> dict[str, object]:
        """Return what the batch did, as plain values for JSON."""
        return {
            "radenhance": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            **self.settings.recorded,
            "seconds": round(seconds, 1),
            "counts": dict(Counter(record.outcome for record in self.records.values())),
            "files": [asdict(record) for record in self.records.values()],
        }

    def _is_done(self, candidate: Candidate) -> bool:
        record = self.journal.records.get(candidate.key)
        if record is None or record.outcome not in ("enhanced", "skipped"):
            return False
        return not record.output or (self.out / record.output).is_file()

    def _decode(self, candidate: Candidate) -> Source | RadenhanceError:
        if candidate.error is not None:
            return candidate.error
        try:
            return read_source(candidate.found.path, declaration=self.settings.declaration)
        except RadenhanceError as error:
            return error
        except MemoryError:
            return MachineError("memory ran out while it was read")

    def _enhanced(self, candidate: Candidate, source: Source | RadenhanceError) -> Record:
        begin = time.monotonic()
        record = Record(candidate.key, blacked_out(candidate.found.name, self._words), "enhanced")
        try:
            if isinstance(source, RadenhanceError):
                raise source
            made = self._made(source.radiograph)
            record = replace(record, guard=_noted(made.verdict))
            if made.verdict is not None and self.settings.refuse and not made.verdict.accepted:
                raise RefusedError(f"refused: {made.verdict.sentence}")
            written = self._write(candidate, source, made)
            record = replace(record, output=written.relative_to(self.out).as_posix())
        except DiskError:
            raise
        except (RadenhanceError, MemoryError) as error:
            why = reason(error, candidate.found.path) or "memory ran out"
            mask = masked if error is source else blacked_out  # of an output, there is a path in it
            record = replace(record, outcome=_outcome_of(error), reason=mask(why, self._words))
        return replace(record, seconds=round(time.monotonic() - begin, 3))

    def _made(self, radiograph: Radiograph) -> _Made:
        """Return the enhanced pixels, and what else is asked for."""
        enhancer, guard = self.settings.enhancer, self.settings.guard
        if self.settings.disagreement:
            assert isinstance(enhancer, Ensemble)
            return _Made(*enhancer.with_disagreement(radiograph))
        if guard is None:
            return _Made(enhancer(radiograph))
        assert isinstance(enhancer, NetworkEnhancer)
        batch = enhancer.batch_of(radiograph)
        enhanced = enhancer.enhance(batch)
        seen = {name: image[0, 0].numpy() for name, image in batch.items()}
        species = species_of(radiograph.header.species)
        verdict = guard.judge(
            seen["raw"], enhanced, radiograph.spacing_mm, seen.get("field"), species=species
        )
        return _Made(enhanced, verdict=verdict)

    def _name_of(self, candidate: Candidate) -> str:
        earlier = self.journal.records.get(candidate.key)
        if earlier is not None and earlier.output:
            return earlier.output.rpartition(".")[0]
        if self.settings.output.deidentify:  # a file may be called after its UID, or a folder
            return f"image-{self.journal.pseudonym_of(candidate.key)}"
        return output_name(candidate.found.name, candidate.key, self._words, self._names)

    def _write(self, candidate: Candidate, source: Source, made: _Made) -> Path:
        name = self._name_of(candidate)
        self._names.add(name)
        stem = self.out / name
        if not stem.parent.resolve().is_relative_to(self.out.resolve()):
            raise UsageError(f"{stem.parent} leads out of {self.out}; remove that link")
        description = self.settings.enhancer.describe(source.radiograph)
        if made.verdict is not None:
            description = f"{description}. {made.verdict.sentence}"
        path = self.settings.output.write(
            stem, source, made.enhanced, description=description, uid_of=self.journal.uid_of
        )
        if made.disagreement is not None:
            shown = stem.with_name(stem.name + DISAGREEMENT)
            write_png(
                shown, made.disagreement, description=description, software_version=__version__
            )
        return path


def write_report(path: Path, report: dict[str, object]) -> None:
    """Write what `Batch.report` returned as JSON.

    Raises:
        RadenhanceError: The file cannot be written.
    """
    replace_file(path, (json.dumps(report, indent=1) + "\n").encode())


def summary(batch: Batch, records: Sequence[Record]) -> str:
    """Return how many files came to what, and those that did not become an image, in lines."""
    counts = Counter(record.outcome for record in records)
    parts = [f"{number} {outcome}" for outcome, number in counts.items()]
    files = "1 file" if len(records) == 1 else f"{len(records)} files"
    lines = [f"{files}: {', '.join(parts)}. Images and list ({JOURNAL}): {batch.out}"]
    others = [record for record in records if record.outcome != "enhanced"]
    lines += [f"  {record.outcome:<8} {record.source}: {record.reason}" for record in others[:20]]
    if len(others) > 20:
        lines.append(f"  and {len(others) - 20} more, in {JOURNAL}")
    return "\n".join(lines)


def check_all_done(batch: Batch, records: Sequence[Record], *, may_be_none: bool = False) -> None:
    """Raise what a batch ends with if not all radiographs in it were enhanced.

    Args:
        batch: The batch.
        records: What became of the files.
        may_be_none: Whether it is all right that none of them is a radiograph.

    Raises:
        BatchError: Some failed, or there was none.
    """
    counts = Counter(record.outcome for record in records)
    none = not counts["enhanced"] and not may_be_none
    if none and not any(counts[outcome] for outcome in EXIT_CODES):
        raise BatchError("no raw radiograph is among these files", NOTHING_ENHANCED)
    for outcome, exit_code in EXIT_CODES.items():
        if counts[outcome]:
            bad = sum(counts[name] for name in EXIT_CODES)
            raise BatchError(
                f"{bad} of {len(records)} files could not be enhanced; {batch.out / JOURNAL} says "
                f"why; put them right and run the command again with --continue",
                exit_code,
            )


def _noted(verdict: Verdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {"sentence": verdict.sentence, "boxes": [asdict(box) for box in verdict.boxes]}


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, NoRadiographError):
        return "skipped"
    return "out of memory" if isinstance(error, MachineError | MemoryError) else "failed"


def _ahead(
    function: Callable[[_Argument], _Result], arguments: Iterable[_Argument]
) -> Iterator[tuple[_Argument, _Result]]:
    """Yield arguments with their results, computed one ahead in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[_Argument, Future[_Result]] | None = None
        for argument in arguments:
            following = argument, pool.submit(function, argument)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()
