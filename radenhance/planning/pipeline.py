"""The plan of encoder and decoder on two devices, and where to split the network between them."""

from dataclasses import dataclass

from torch import Tensor

from radenhance.errors import UsageError
from radenhance.planning.planned_run import PlanError, PlannedRun, Size
from radenhance.planning.step_plan import StepPlan
from radenhance.strategies import EncoderDecoderStrategy
from radenhance.strategies.encoder_decoder.groups import STAGES, StageName
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import AUTO_CUT, FIRST_DECODER_STAGE


@dataclass(frozen=True)
class PipelinePlan:
    """What two devices need, and send each other in a step.

    Args:
        cut: First stage of the decoder's device.
        stages: Plan of each of STAGES.
        features_bytes: Bytes from the encoder to the decoder.
        gradients_bytes: Bytes back.
        batch_bytes: Bytes of the batch, which the decoder's process reads and broadcasts.
        output_bytes: Bytes of the network's output, with which both processes finish the step.
        num_micro_batches: Micro-batches of the batch.
    """

    cut: str
    stages: dict[StageName, StepPlan]
    features_bytes: int
    gradients_bytes: int
    batch_bytes: int
    output_bytes: int
    num_micro_batches: int

    @property
    def computing_seconds(self) -> float:
        """Time of a step's computing on the card that `traffic` describes.

        One micro-batch goes through the quicker stage while the other one has nothing to do.
        """
        quicker, slower = sorted(plan.seconds for plan in self.stages.values())
        return slower + quicker / self.num_micro_batches

    def network_seconds(self, gbit: float) -> float:
        """Return the time on a network of a bandwidth in Gbit/s, if nothing else is done."""
        return self.sent_bytes * 8 / (gbit * 1e9)

    @property
    def fuller(self) -> StepPlan:
        """The plan of the device that needs more."""
        return max(self.stages.values(), key=lambda plan: plan.needed_bytes)

    @property
    def peak_bytes(self) -> int:
        """Highest use of tensors on the fuller device."""
        return self.fuller.peak_bytes

    @property
    def needed_bytes(self) -> int:
        """Bytes that each of two equal GPUs must have free."""
        return self.fuller.needed_bytes

    @property
    def sent_bytes(self) -> int:
        """Bytes that cross the network in a step."""
        return self.features_bytes + self.gradients_bytes + self.batch_bytes + self.output_bytes


def strategy_of(run: PlannedRun) -> EncoderDecoderStrategy | None:
    """Return the pipeline strategy of a run, None if it has another one."""
    strategy = run.strategy()
    return strategy if isinstance(strategy, EncoderDecoderStrategy) else None


def plan_pipeline(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> PipelinePlan:
    """Return the plan of a step on two devices.

    Args:
        run: The run, whose batch is divided into micro-batches.
        strategy: Strategy of the run; with the cut auto, the best one is taken.
        size: Rows and columns of the images in pixels.

    Raises:
        PlanError: The step cannot be planned.
    """
    with run.planning(size):
        choose = _best if strategy.options.cut == AUTO_CUT else _plan
        return choose(run, strategy, size)


def best_cut(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> str:
    """Return the cut with the lowest peak of the fuller device, decoder0 if none can be planned.

    Args:
        run: The run.
        strategy: Strategy of the run.
        size: Rows and columns of the images in pixels.
    """
    try:
        with run.planning(size):
            return _best(run, strategy, size).cut
    except PlanError:  # a plan is advice
        return FIRST_DECODER_STAGE


def _best(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> PipelinePlan:
    """Move from the decoder's first stage towards the fuller stage as long as that helps."""
    names = NetworkSplit(run.real_module).stage_names
    best = _plan(run, strategy.cut_before(FIRST_DECODER_STAGE), size)
    encoder_is_fuller = best.fuller is best.stages["encoder"]
    index = names.index(FIRST_DECODER_STAGE)
    first = 1 if strategy.options.stem_on_both else 0  # which is no cut for a stem on both devices
    candidates = names[index - 1 : first : -1] if encoder_is_fuller else names[index + 1 : -1]
    for name in candidates:
        plan = _plan(run, strategy.cut_before(name), size)
        if plan.peak_bytes >= best.peak_bytes:
            break
        best = plan
    return best


def _plan(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> PipelinePlan:
    if run.num_whole_averages:
        raise UsageError(
            "the strategy encoder_decoder cannot run callbacks that average weights, which would "
            "average those of one device only; use WeightAverage.kind"
        )
    plans, spec = {}, None
    for stage in STAGES:
        rehearsed = run.rehearsed(size)
        with strategy.rehearse(rehearsed, stage) as passes:
            plans[stage] = run.measured(rehearsed, passes, size)
            spec = passes.spec
    assert spec is not None
    batch = [leaf for leaf in rehearsed.batch.values() if isinstance(leaf, Tensor)]
    num = spec.num_micro_batches
    return PipelinePlan(
        strategy.options.cut,
        plans,
        features_bytes=num * spec.skips.num_bytes,
        gradients_bytes=num * spec.skips.num_gradient_bytes,
        batch_bytes=sum(tensor.nbytes for tensor in batch),
        output_bytes=num * spec.image.on_meta().nbytes,  # one channel in and out
        num_micro_batches=num,
    )
