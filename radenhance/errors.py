"""What a user may do wrong, as exceptions.

Every message is one sentence or two: what was got, what was expected, what to do. A parameter is
named as in Python, `MemoryTechniques.band_rows`, and a remedy as `Trainer(precision="16-mixed")`:
only the command line knows which flag sets it, and says that instead (`command_line.wording`). It
prints the message alone and leaves with `exit_code`; only a defect of ours shows a traceback.

    RadenhanceError
    |- UsageError           something that was asked for does not exist, or does not go together
    |  `- ParameterError    one parameter has a wrong value
    |- RadiographError      one image file cannot be read, or not without guessing
    |  `- NoRadiographError it is sound, and something else than a radiograph
    |- DatasetError         a dataset folder or its manifest is not what training needs
    |- ImageSizeError       an image is too small, or sizes do not go together
    |- DivergedError        the loss or a gradient is not a number any more
    |- GpuMemoryError       the GPU has no room for the step
    |- DiskError            a disk is full or fails
    |- MachineError         memory, file handles or processes ran out
    |- StageError           one of two processes that share a network stopped
    |- RefusedError         an output that the guard does not accept
    `- BatchError           some images of many could not be enhanced
"""

from functools import partial


class RadenhanceError(Exception):
    """A mistake or a limit that the user can do something about.

    try:
        radiograph = read(path)
    except RadenhanceError as error:
        print(error)
    """

    exit_code = 2


class UsageError(RadenhanceError):
    """What was asked for does not exist, or does not go together with something else."""


class ParameterError(UsageError):
    """A parameter has a value that it cannot have.

    Args:
        parameter: Class and name, such as MemoryTechniques.band_rows.
        got: The value.
        expected: What it may be, as a noun phrase.
        remedy: What to do, if `expected` does not say it already.
    """

    def __init__(self, parameter: str, *, got: object, expected: str, remedy: str = "") -> None:
        self.parameter, self.got, self.expected, self.remedy = parameter, got, expected, remedy
        sentence = f"{parameter} is {got!r}, expected {expected}"
        super().__init__(f"{sentence}; {remedy}" if remedy else sentence)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross from a worker process to the main one."""
        keywords = {"got": self.got, "expected": self.expected, "remedy": self.remedy}
        return partial(type(self), self.parameter, **keywords), ()  # type: ignore[arg-type]


class RadiographError(RadenhanceError):
    """An image file cannot be read, or not without guessing; the message names file and tag."""


class NoRadiographError(RadiographError):
    """A sound file holds something else than a radiograph of one frame in grey."""


class DatasetError(RadenhanceError):
    """A dataset folder or its manifest is not what training needs."""


class ImageSizeError(RadenhanceError, ValueError):
    """An image is too small for the loss, or images of one batch differ in size."""


class DivergedError(RadenhanceError):
    """The loss or a gradient is NaN or infinite; the message names the batch's cases."""

    exit_code = 3


class GpuMemoryError(RadenhanceError):
    """The GPU ran out of memory; the message says what takes it, and what needs less."""

    exit_code = 6


class DiskError(RadenhanceError):
    """A disk is full or fails; what stood in the place of a file that was written is untouched."""

    exit_code = 4


class MachineError(RadenhanceError):
    """The machine ran out of something else: memory, shared memory, file handles, processes."""

    exit_code = 7


class StageError(RadenhanceError):
    """One of the processes that share a network stopped; the message says which, where and why."""

    exit_code = 5


class RefusedError(RadenhanceError):
    """An output has structures that its source has not, or lacks some; the message counts them."""


class BatchError(RadenhanceError):
    """Some images of many could not be enhanced; a report lists them.

    Args:
        message: How many, and where they are listed.
        exit_code: 2 if no image could be enhanced, 3 if memory ran out, 4 for other failures.
    """

    def __init__(self, message: str, exit_code: int = 4) -> None:
        super().__init__(message)
        self.exit_code = exit_code
