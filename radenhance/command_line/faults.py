"""What the machine or a choice of flags may lack, told from what Python and the libraries raise.

Python has `errno` and MemoryError for it. torch, OpenCV and the loader's workers have sentences in
exceptions that mean anything else as well, and a worker's exception reaches the main process as
text alone. So faults without a type of their own are known by their words, most specific first.
"""

import errno
import os
import re
from collections.abc import Mapping

from radenhance.errors import DiskError, MachineError, RadenhanceError, UsageError
from radenhance.files import DISK_FAULTS, PART

ALONE = "RadiographDataModule(num_workers=0)"
GO_ON = 'A fit goes on from its last checkpoint with Trainer.fit(ckpt_path="last")'

NO_MEMORY = (
    "the memory of this machine ran out; close other programs, or take smaller images or crops "
    "(RadiographDataModule.image_size, RadiographDataModule.crop_size) or fewer processes "
    "(RadiographDataModule.num_workers, --processes)"
)
NO_SHARED_MEMORY = (
    f"/dev/shm is too small for the images that workers hand over; make it larger "
    f"(docker run --shm-size=2g), or load without workers: {ALONE}"
)
KILLED = (
    f"a process that loads images was killed, probably because memory ran out; use fewer of them, "
    f"or none: {ALONE}"
)
NO_HANDLES = (
    f"this process may not open more files; raise the limit with `ulimit -n 65536`, or load "
    f"without workers: {ALONE}"
)
NO_PROCESSES = (
    f"this machine lets no more processes or threads start; end some, raise the limit with "
    f"`ulimit -u`, or load without workers: {ALONE}"
)

WORDS = {
    r"out of shared memory|file </torch_": NO_SHARED_MEMORY,
    r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)": KILLED,
    r"Too many open files|received \d+ items of ancdata": NO_HANDLES,
    r"can't start new thread": NO_PROCESSES,
    r"[Cc]an(no|')t allocate memory|Insufficient memory|\bbad_alloc\b": NO_MEMORY,
}
"""What an exception of torch, OpenCV or a worker says -> what it means."""

CHOICES = {
    "Expected more than 1 value per channel when training": (
        "the last batch of an epoch is one image so small that BatchNorm gets a single value; use "
        "larger images (RadiographDataModule.image_size, RadiographDataModule.crop_size), or "
        "another RadiographDataModule.batch_size"
    ),
    r"Tried to step \d+ times. The specified number of total steps is": (
        "ContrastEnhancer.lr_scheduler.total_steps is less than the steps of the run; give it as "
        "many, count epochs with ContrastEnhancer.lr_interval epoch, or leave lr_scheduler out"
    ),
    r"`val_check_interval` \(\d+\) must be less than": (
        "Trainer.val_check_interval is more than the batches of an epoch; give fewer, or count on "
        "from epoch to epoch with Trainer(check_val_every_n_epoch=null)"
    ),
    "When using the learning rate finder": (
        "LearningRateFinder has no rate to set, as the optimizer holds it; leave it out, and set "
        "ContrastEnhancer.optimizer.lr"
    ),
    "'ContrastEnhancer' object has no attribute 'backbone'": (
        "BackboneFinetuning needs a network of two attributes, backbone and head; leave it out, "
        "and set ContrastEnhancer.frozen_encoder_epochs"
    ),
}
"""What an exception of torch or Lightning says -> what in the flags does not go together."""

ERRNO = {
    errno.ENOMEM: NO_MEMORY,
    errno.EMFILE: NO_HANDLES,
    errno.ENFILE: NO_HANDLES,
    errno.EAGAIN: NO_PROCESSES,
}


def fault_of(error: Exception) -> RadenhanceError | None:
    """Return what an exception says of the machine or a file, in a sentence; None for a defect.

    Args:
        error: What a command raised.
    """
    if isinstance(error, OSError):
        return _of_the_system(error)
    chosen = _in_words(str(error), CHOICES)
    if chosen:
        return UsageError(chosen)
    lacking = NO_MEMORY if isinstance(error, MemoryError) else _in_words(str(error))
    return MachineError(f"{lacking}. {GO_ON}") if lacking else None


def _of_the_system(error: OSError) -> RadenhanceError | None:
    number, file = error.errno, error.filename
    told = re.search(r"^\w+: \[Errno (\d+)\] [^:\n]*(?:: '(.*)')?$", str(error), re.MULTILINE)
    if number is None and told:  # by a worker
        number, file = int(told[1]), told[2]
    if file and PART.fullmatch(os.path.basename(os.fsdecode(file))):
        file = os.path.dirname(os.fsdecode(file)) or "."  # it is there no more, and of no concern
    if number in DISK_FAULTS:
        return DiskError(f"{file or 'a file'}: {DISK_FAULTS[number]}. {GO_ON}")
    lacking = ERRNO.get(number) if number else _in_words(str(error))
    if lacking:
        return MachineError(f"{lacking}. {GO_ON}")
    return RadenhanceError(f"{file}: {os.strerror(number)}") if number and file else None


def _in_words(message: str, known: Mapping[str, str] = WORDS) -> str | None:
    for words, meaning in known.items():
        if re.search(words, message):
            return meaning
    return None
