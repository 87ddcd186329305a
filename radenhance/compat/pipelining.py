"""What torch.distributed.pipelining checks, and no user can tell it in advance."""

from typing import Any

from torch.distributed.pipelining import PipelineStage


class StageOfAnyOutput(PipelineStage):
    """A stage whose last output has whatever shape, type and strides it has.

    Versions before 2.15 refuse outputs of the last stage that are not as announced. Nobody receives
    these, and of a type that autocast chooses nothing can be announced.
    """

    # No public name: there is no option.
    def _validate_fwd_outputs(self, outputs: tuple[Any, ...]) -> None:
        pass
