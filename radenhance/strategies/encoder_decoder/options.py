"""What a user may choose about a pipeline, apart from the strategy that carries it out.

The step, its schedule and the check of all processes' settings read these options, and so do not
need the strategy, which needs them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from radenhance.errors import ParameterError

ScheduleName = Literal["auto", "gpipe", "1f1b"]

FIRST_DECODER_STAGE = "decoder0"
AUTO_CUT = "auto"


@dataclass(frozen=True)
class PipelineOptions:
    """Options of `EncoderDecoderStrategy`, whose names and meanings they have.

    Args:
        micro_batch_size: Images that go through the pipeline at a time.
        schedule: Order of the micro-batches' forward and backward passes.
        cut: First stage of the decoder's device, or auto.
        bfloat16_transfer: Whether float32 is sent as bfloat16.
        stem_on_both: Whether the decoder computes the first skip itself.
        sharded: Whether parameters are sharded over several pipelines.
    """

    micro_batch_size: int = 1
    schedule: ScheduleName = "auto"
    cut: str = FIRST_DECODER_STAGE
    bfloat16_transfer: bool = False
    stem_on_both: bool = False
    sharded: bool = False

    def __post_init__(self) -> None:
        if self.micro_batch_size < 1:
            raise ParameterError(
                "EncoderDecoderStrategy.micro_batch_size",
                got=self.micro_batch_size,
                expected="at least 1",
            )
        if self.schedule not in get_args(ScheduleName):
            raise ParameterError(
                "EncoderDecoderStrategy.schedule",
                got=self.schedule,
                expected=f"one of {', '.join(get_args(ScheduleName))}",
            )

    def check(self, num_pipelines: int) -> None:
        """Refuse what cannot run.

        Args:
            num_pipelines: Number of pipelines of the run.

        Raises:
            ParameterError: There is nothing to shard over, options exclude each other, or no stage
                is named.
        """
        if self.sharded and num_pipelines == 1:
            raise ParameterError(
                "EncoderDecoderStrategy.sharded",
                got=True,
                expected="False where there is one pipeline",
                remedy="it shards parameters over several pipelines: use four processes or more",
            )
        if self.sharded and self.stem_on_both:
            raise ParameterError(
                "EncoderDecoderStrategy.stem_on_both",
                got=True,
                expected="False where EncoderDecoderStrategy.sharded is True",
            )
        if self.cut == AUTO_CUT:
            raise ParameterError(
                "EncoderDecoderStrategy.cut",
                got=AUTO_CUT,
                expected="the name of a stage, such as decoder0",
                remedy="only `radenhance fit` chooses one",
            )
