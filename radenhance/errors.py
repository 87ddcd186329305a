"""What a user may do wrong, as exceptions.

Every message is one sentence or two: what was got, what was expected, what to do. The command line
prints the message alone and leaves with `exit_code`; only a defect of ours shows a traceback.

    RadenhanceError
    |- UsageError           a flag, a YAML key or a file name on the command line
    |- RadiographError      one image file cannot be read, or not without guessing
    |- DatasetError         a dataset folder or its manifest is not what training needs
    |- ImageSizeError       an image is too small, or sizes do not go together
    |- DivergedError        the loss or a gradient is not a number any more
    |- GpuMemoryError       the GPU has no room for the step
    `- StageError           one of two processes that share a network stopped
"""


class RadenhanceError(Exception):
    """A mistake or a limit that the user can do something about.

    try:
        radiograph = read(path)
    except RadenhanceError as error:
        print(error)
    """

    exit_code = 2


class UsageError(RadenhanceError):
    """A flag, a YAML key or a file named on the command line is wrong."""


class RadiographError(RadenhanceError):
    """An image file cannot be read, or not without guessing; the message names file and tag."""


class DatasetError(RadenhanceError):
    """A dataset folder or its manifest is not what training needs."""


class ImageSizeError(RadenhanceError, ValueError):
    """An image is too small for the loss, or images of one batch differ in size."""


class DivergedError(RadenhanceError):
    """The loss or a gradient is NaN or infinite; the message names the batch's files."""

    exit_code = 3


class GpuMemoryError(RadenhanceError):
    """The GPU ran out of memory; the message says what takes it, and what needs less."""

    exit_code = 6


class StageError(RadenhanceError):
    """One of the processes that share a network stopped; the message says which, where and why."""

    exit_code = 5
