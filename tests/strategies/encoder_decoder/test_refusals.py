"""What would train wrongly with half of a network in each process is refused."""

import pytest
from foreign import Foreign, trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from radenhance.errors import UsageError
from radenhance.strategies.encoder_decoder.refusals import refuse_unsupported


def test_manual_optimization_is_refused():
    module = Foreign()
    module.automatic_optimization = False
    fit = trainer({})
    fit.state.fn = "fit"
    with pytest.raises(UsageError, match="Foreign.automatic_optimization is False, expected True"):
        refuse_unsupported(fit, module)


@pytest.mark.parametrize("callback", [StochasticWeightAveraging(0.1), WeightAveraging()])
def test_averages_of_one_devices_weights_are_refused_in_a_fit_alone(callback):
    fit = trainer({}, callbacks=[callback])
    fit.state.fn = "validate"
    refuse_unsupported(fit, Foreign())
    fit.state.fn = "fit"
    with pytest.raises(UsageError, match=f"cannot run {type(callback).__name__}"):
        refuse_unsupported(fit, Foreign())
