"""Claim: 5,000 small images, 2,500 pairs, are prepared and checked in 3 minutes each, on 2 cores.

    python benchmarks/archive.py
    python benchmarks/archive.py --images 5000 --out archive/      # all, and keep the files

Half of the images are raw, and each has a processed twin that names it. All are one phantom with
other noise, other UIDs and other patients, who do not exist. `prepare` copies and compares the
pairs, `check` reads and compares them again. With --unnamed no twin names its raw image, so that
`prepare` looks for it in the study. With --alone no image has a twin, so that the
reference enhancer makes the targets of as many raw images. Memory is that of the command and of its
processes together, the highest of what is seen every 0.2 s. CPU seconds are those of all processes;
they tell what an idle machine would take, whatever else runs on this one. 500 images take a minute
on two idle cores, and 5,000 should take less than six.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import harness
import numpy as np
import psutil
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, generate_uid

from radenhance.dicom.read import read
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom
from radenhance.prepare.target import reference_target
from radenhance.reproduce.running import ONE_THREAD
from radenhance.units import MIB

ANIMAL = Animal("cat", 1, 1, 0)
PERIOD_S = 0.2
TARGET_BITS = 10


def make_archive(
    folder: Path, num_images: int, *, spacing_mm: float, alone: bool = False, unnamed: bool = False
) -> None:
    """Write raw images and, unless they are alone, as many twins, `num_images` files in all."""
    folder.mkdir(parents=True)
    raw = dataset_of(phantom(ANIMAL, spacing_mm=spacing_mm))
    raw.save_as(folder / "first", enforce_file_format=True)
    shown = reference_target(read(folder / "first"), preset="default")
    (folder / "first").unlink()
    processed = twin_of(raw, np.round(shown * (2**TARGET_BITS - 1)))
    plain = {id(image): image.pixel_array.astype(np.int32) for image in (raw, processed)}
    noise = np.random.default_rng(0)
    for number in range(num_images if alone else num_images // 2):
        for image, kind in ((raw, "a"), (processed, "b"))[: 1 if alone else 2]:
            moved = plain[id(image)] + noise.integers(-2, 3, plain[id(image)].shape)
            image.PixelData = moved.clip(0, 2**image.BitsStored - 1).astype("<u2").tobytes()
            identify(image, number, kind)
            source = generate_uid() if unnamed else raw.SOPInstanceUID
            processed.SourceImageSequence[0].ReferencedSOPInstanceUID = source
            image.save_as(folder / f"{number:05d}{kind}", enforce_file_format=True)


def identify(dataset: Dataset, number: int, kind: str) -> None:
    """Give a dataset identifiers that no other one has, but for the study of its twin."""
    dataset.PatientID = f"{number:05d}"
    dataset.PatientName = f"Phantom^{number:05d}"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
    for name in ("SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, name, generate_uid(entropy_srcs=[name, kind, str(number)]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def twin_of(raw: Dataset, pixels: np.ndarray) -> Dataset:
    """Return a dataset FOR PRESENTATION that names the raw image."""
    twin = deepcopy(raw)
    twin.SOPClassUID = DigitalXRayImageStorageForPresentation
    twin.file_meta.MediaStorageSOPClassUID = twin.SOPClassUID
    twin.PresentationIntentType = "FOR PRESENTATION"
    twin.ImageType = ["DERIVED", "PRIMARY", ""]
    twin.PhotometricInterpretation, twin.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
    del twin.PixelIntensityRelationshipSign
    twin.BitsStored, twin.HighBit = TARGET_BITS, TARGET_BITS - 1
    twin.SourceImageSequence = [Dataset()]
    twin.SourceImageSequence[0].ReferencedSOPClassUID = raw.SOPClassUID
    twin.PixelData = pixels.astype("<u2").tobytes()
    return twin


def measured(command: str, *arguments: object, log: Path) -> tuple[float, float, float]:
    """Run a command; return its seconds, CPU seconds and MiB of memory, with its processes'."""
    words = [sys.executable, "-m", "radenhance", command, *map(str, arguments)]
    begin, before, highest = time.perf_counter(), cpu_seconds(), 0
    with (
        log.open("w") as output,
        subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, env=os.environ | ONE_THREAD
        ) as process,
    ):
        while process.poll() is None:
            highest = max(highest, resident(psutil.Process(process.pid)))
            time.sleep(PERIOD_S)
    if process.returncode:
        sys.exit(f"{command} failed: {log.read_text()[-2000:]}")
    return time.perf_counter() - begin, cpu_seconds() - before, highest / MIB


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process and of all that it started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--images", type=int, default=500, help="number of files")
    flags.add_argument("--spacing-mm", type=float, default=0.8, help="pixel size")
    flags.add_argument("--alone", action="store_true", help="make no twins")
    flags.add_argument("--unnamed", action="store_true", help="make twins that name no raw image")
    flags.add_argument("--processes", type=int, default=2, help="as --processes of the commands")
    flags.add_argument("--out", type=Path, help="folder to make and keep; else one that is removed")
    return flags


def main(options: argparse.Namespace) -> None:
    load = os.getloadavg()[0]
    harness.print_heading(f"load of the machine before: {load:.1f}", "")
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        export, root = out / "export", out / "radiographs"
        make_archive(
            export,
            options.images,
            spacing_mm=options.spacing_mm,
            alone=options.alone,
            unnamed=options.unnamed,
        )
        columns = ("s", "CPU s", "CPU ms per image", "peak MiB of all processes")
        with harness.table("command", *columns, names=["prepare"]) as row:
            for command, folders in (("prepare", (export, root)), ("check", (root,))):
                log = out / f"{command}.txt"
                taken, cpu, peak = measured(
                    command, *folders, "--processes", options.processes, log=log
                )
                each = f"{1000 * cpu / options.images:.0f}"
                row(command, f"{taken:.0f}", f"{cpu:.0f}", each, f"{peak:.0f}")


if __name__ == "__main__":
    main(parser().parse_args())
