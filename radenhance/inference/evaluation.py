"""Whole radiographs of a dataset, enhanced by a network and by what needs none, and measured.

A figure of merit means something only beside that of doing nothing, of one tone curve, of CLAHE and
of the conventional enhancer. All of them get the same pixels, and are compared with the same target
in the same regions. One radiograph is in memory at a time; one that cannot be read is passed over.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from radenhance import metric_names
from radenhance.arrays import Image
from radenhance.dataset.decoded import Decoded
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.outside_field import blackened
from radenhance.dataset.pair import Pair
from radenhance.dataset.pairs import WHOLE, PairDataset, Sample, to_tensor
from radenhance.dataset.prediction import MIN_SIDE, PredictAt, network_size, prediction_input
from radenhance.dataset.resample import resample
from radenhance.dicom.read import read
from radenhance.enhancer import measure
from radenhance.errors import ImageSizeError
from radenhance.foreign_text import one_line
from radenhance.inference.bootstrap import Mean, Values, Verdict, mean_of
from radenhance.inference.contrast import Regions, cnr, eme, regions_of
from radenhance.inference.lookup_table import fitted_curve, toned
from radenhance.inference.model import NetworkEnhancer, ReferenceEnhancer
from radenhance.prepare.passed_over import (
    OF_ONE_RADIOGRAPH,
    Failure,
    PassingOver,
    failure_of_pair,
)
from radenhance.reference_enhancer.baselines import clahe, tone_curve
from radenhance.reference_enhancer.presets import ALGORITHM

RAW, TABLE, TONE, CLAHE = "raw", "lookup table", "tone curve", "CLAHE"
REFERENCE, NETWORK, TARGET = "reference", "network", "target"
"""Names of methods; the target, of which contrast alone is measured, is none."""

NATIVE, ENLARGED = "native", "enlarged"
"""What the two ways to run a network on a large image are called behind its name."""

CONTRASTS = (metric_names.CNR, metric_names.EME)
SIMILARITIES = (
    metric_names.MS_SSIM,
    metric_names.SSIM,
    metric_names.PSNR,
    metric_names.MAE,
)
MEASURES = (*SIMILARITIES, *CONTRASTS)

MOST_FITTED = 200
"""Pairs of the training split, spread over all, that the lookup table is fitted to."""

HIGHEST_PSNR = 100.0
"""In decibels: that of equal images is infinite, and so would be all means with it."""

EvaluateAt = PredictAt | Literal["compare"]
"""Size at which a network sees a radiograph, or both sizes."""


@dataclass(frozen=True)
class Opened:
    """A pair as it is measured.

    Args:
        pair: The pair.
        decoded: The raw radiograph at the size asked for.
        sample: raw as the network of the comparison sees it, target, and field where what is
            outside is black.
    """

    pair: Pair
    decoded: Decoded
    sample: Sample

    @property
    def raw(self) -> Image:
        """The raw image, shape (H, W)."""
        image: Image = self.sample["raw"][0].numpy()
        return image

    @property
    def target(self) -> Image:
        """The target, same shape."""
        image: Image = self.sample["target"][0].numpy()
        return image

    def shuttered(self, image: Image) -> Image:
        """Return an image black outside the field, where the dataset is."""
        field = self.sample.get("field")
        return image if field is None else blackened(image, field[0].numpy())


Method = Callable[[Opened], Image]
"""Returns the enhanced image of a pair, in [0, 1], of the size of its target."""


@dataclass(frozen=True)
class Case:
    """Whose figures a line holds.

    Args:
        name: What the dataset calls it: its number, or its path where names are wanted.
        patient: The patient, as the dataset calls it.
        species: The species; empty where it is unknown.
        body_part: The body part; empty where it is unknown.
        shape: Rows and columns that were measured.
        index: Its place among the pairs that were to be measured.
    """

    name: str
    patient: str
    species: str
    body_part: str
    shape: tuple[int, int]
    index: int


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Args:
        cases: The radiographs, in the order of the dataset.
        values: Method -> measure of MEASURES -> one value per case; of the target, contrast alone.
        networks: The networks by the names of their methods; the first is the one asked about.
        failures: Radiographs that were passed over, those to fit a lookup table to as well.
    """

    cases: Sequence[Case]
    values: Mapping[str, Mapping[str, Values]]
    networks: Mapping[str, NetworkEnhancer]
    failures: Sequence[Failure] = ()

    @property
    def baselines(self) -> list[str]:
        """The methods that need no network."""
        return [name for name in self.values if name not in (*self.networks, TARGET)]

    def mean(self, method: str, measure: str, where: Sequence[int] | None = None) -> Mean:
        """Return the mean of a measure.

        Args:
            method: A key of `values`.
            measure: One of its measures.
            where: Indices of the cases; None takes all.
        """
        return self._mean(self.values[method][measure], where)

    def difference(
        self, method: str, other: str, measure: str, where: Sequence[int] | None = None
    ) -> Mean:
        """Return the mean difference of two methods on the same radiographs.

        Args:
            method: A key of `values`.
            other: The one that is subtracted.
            measure: One of their measures.
            where: Indices of the cases; None takes all.
        """
        return self._mean(self.values[method][measure] - self.values[other][measure], where)

    def best_baseline(self, measure: str) -> str:
        """Return the baseline with the best mean of a measure."""
        means = {name: self.values[name][measure].mean() for name in self.baselines}
        best = min if measure == metric_names.MAE else max
        return best(means, key=lambda name: float(means[name]))

    def groups(self, column: Literal["species", "body_part"]) -> dict[str, list[int]]:
        """Return the indices of the cases by what a column says; nothing if it says nothing."""
        found: dict[str, list[int]] = {}
        for index, case in enumerate(self.cases):
            found.setdefault(getattr(case, column) or "unknown", []).append(index)
        return {} if found.keys() == {"unknown"} else dict(sorted(found.items()))

    def reduced(self, network: str, at: PredictAt) -> list[int]:
        """Return the indices of the cases of which a network sees a reduced image.

        Args:
            network: A key of `networks`.
            at: The size at which it sees them.
        """
        size = self.networks[network].input["image_size"]
        shapes = (case.shape for case in self.cases)
        return [i for i, shape in enumerate(shapes) if network_size(shape, size, at) != "native"]

    def _mean(self, values: Values, where: Sequence[int] | None) -> Mean:
        chosen = list(range(len(self.cases)) if where is None else where)
        return mean_of(values[chosen], [self.cases[index].patient for index in chosen])


def evaluate(
    dataset: PairDataset,
    networks: Mapping[str, NetworkEnhancer],
    *,
    trained_on: PairDataset | None,
) -> Evaluation:
    """Return the measures of each radiograph by the networks and the baselines.

    Those that cannot be read or enhanced are passed over, perhaps all of them.

    Args:
        dataset: The pairs to measure, at least one.
        networks: Name -> network.
        trained_on: The pairs that a lookup table is fitted to; where there are none, a fixed tone
            curve takes its place.

    Raises:
        RadenhanceError: Memory ran out, or a disk fails.
    """
    failures: list[Failure] = []
    methods = _baselines(dataset, trained_on, failures) | {
        name: partial(enhanced_by, network) for name, network in networks.items()
    }
    rows, cases = [], []
    for index in tqdm(range(len(dataset)), desc="Evaluating", unit="image"):
        try:
            opened = open_pair(dataset, index)
            rows.append(_measures(opened, methods))
        except OF_ONE_RADIOGRAPH as error:
            failures.append(failure_of_pair(dataset, index, error))
        else:
            cases.append(_case(opened, dataset, index))
    values = {
        name: {measure: np.array([row[name][measure] for row in rows]) for measure in of_first}
        for name, of_first in (rows[0] if rows else {}).items()
    }
    return Evaluation(cases, values, networks, list(dict.fromkeys(failures)))


def open_pair(dataset: PairDataset, index: int) -> Opened:
    """Return a pair of a dataset.

    Raises:
        RadenhanceError: A file cannot be read, or the image is too small.
    """
    pair = dataset.pairs[index]
    raw, target = dataset.read(pair)
    if min(raw.shape) < MIN_SIDE:
        raise ImageSizeError(
            f"{pair.raw_path} has {raw.shape} rows and columns, expected {MIN_SIDE} or more of each"
        )
    sample = prediction_input(
        raw,
        image_size="native",
        at="native",
        auto_range=dataset.auto_range,
        black_outside=dataset.black_outside,
    )
    return Opened(pair, raw, sample | {"target": to_tensor(target[WHOLE])})


def enhanced_by(network: NetworkEnhancer, opened: Opened) -> Image:
    """Return the enhanced image of a pair, black outside the field where the dataset is."""
    image = network.enhance(network.batch_of_decoded(opened.decoded))
    has_shutter = network.input["outside_field"] == "black"
    return image if has_shutter else opened.shuttered(image)


def ways_to_run(network: NetworkEnhancer, name: str, at: EvaluateAt) -> dict[str, NetworkEnhancer]:
    """Return a network by the names of the ways in which it is to be run.

    Args:
        network: The network.
        name: What it is called.
        at: The size at which it sees radiographs, or both.
    """
    sizes: dict[str, PredictAt] = {name: network.at}
    if at == "compare":
        sizes = {f"{name} ({NATIVE})": "native", f"{name} ({ENLARGED})": "training"}
    elif at != "auto":
        sizes = {name: at}
    ways = {}
    for way, size in sizes.items():
        ways[way] = copy.copy(network)  # of the same weights
        ways[way].at = size
    return ways


def better_way(evaluation: Evaluation, network: str) -> PredictAt:
    """Return the size at which a network is shown to do better, auto where neither is.

    Args:
        evaluation: Figures of both of its ways.
        network: What the network is called, without the way.
    """
    enlarged, native = f"{network} ({ENLARGED})", f"{network} ({NATIVE})"
    where = evaluation.reduced(native, "training")
    if not where:
        return "auto"
    found = evaluation.difference(enlarged, native, metric_names.MS_SSIM, where)
    verdict = found.verdict(higher_is_better=True)
    if verdict is Verdict.OPEN:
        return "auto"
    return "training" if verdict is Verdict.BEATS else "native"


def num_by_reference(pairs: Sequence[Pair]) -> int:
    """Return how many targets the reference enhancer made, of whatever version."""
    name = ALGORITHM.partition("/")[0]
    return sum(pair.target_algo.partition("/")[0] == name for pair in pairs)


def _measures(opened: Opened, methods: Mapping[str, Method]) -> dict[str, dict[str, float]]:
    regions = regions_of(opened.target, opened.decoded.field_weights[WHOLE] == OPAQUE)
    measured = {}
    for name, method in methods.items():
        image = method(opened)
        measured[name] = _similarities(image, opened.target) | _contrasts(image, regions)
    return measured | {TARGET: _contrasts(opened.target, regions)}


def _baselines(
    dataset: PairDataset, trained_on: PairDataset | None, failures: list[Failure]
) -> dict[str, Method]:
    methods: dict[str, Method] = {RAW: lambda opened: opened.raw}
    fitted = iter(()) if trained_on is None else _fitted(trained_on, failures)
    first = next(fitted, None)
    if first is None:
        methods[TONE] = lambda opened: opened.shuttered(
            tone_curve(opened.raw, valid=_field_of(opened))
        )
    else:
        curve = fitted_curve(chain([first], fitted))
        methods[TABLE] = lambda opened: toned(opened.sample, curve)[0].numpy()
    methods[CLAHE] = lambda opened: opened.shuttered(clahe(opened.raw, valid=_field_of(opened)))
    if not num_by_reference(dataset.pairs):
        methods[REFERENCE] = _reference_of(dataset)
    return methods


def _fitted(trained_on: PairDataset, failures: list[Failure]) -> Iterator[Sample]:
    """Yield the samples that a lookup table is fitted to; note those that cannot be read."""
    passing = PassingOver(trained_on, failure_of_pair)
    step = -(-len(trained_on) // MOST_FITTED)
    for index in tqdm(range(0, len(trained_on), step), desc="Fitting a lookup table", unit="image"):
        sample = passing[index]
        if isinstance(sample, Failure):
            failures.append(sample)
        else:
            yield sample


def _field_of(opened: Opened) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    inside = opened.decoded.field_weights[WHOLE] > 0
    return inside if inside.any() else np.ones_like(inside)


def _reference_of(dataset: PairDataset) -> Method:
    """Return the reference enhancer, which sees the file and shutters the image itself."""
    enhancer = ReferenceEnhancer("default")

    def enhanced(opened: Opened) -> Image:
        path = dataset.root / opened.pair.raw_path
        image = enhancer(read(path, declaration=dataset.declarations.raw))
        if image.shape != opened.decoded.shape:
            image = resample(image, min(opened.decoded.shape))
        return image

    return enhanced


@torch.inference_mode()
def _similarities(image: Image, target: Image) -> dict[str, float]:
    both = (torch.from_numpy(pixels)[None, None] for pixels in (image, target))
    measured = measure(*both, num_scales="auto")
    values = {name: measured[name].item() for name in SIMILARITIES}
    values[metric_names.PSNR] = min(values[metric_names.PSNR], HIGHEST_PSNR)
    return values


def _contrasts(image: Image, regions: Regions) -> dict[str, float]:
    return {metric_names.CNR: cnr(image, regions), metric_names.EME: eme(image, regions)}


def _case(opened: Opened, dataset: PairDataset, index: int) -> Case:
    pair, name = opened.pair, dataset.cases[index]
    species, body_part = one_line(pair.species), one_line(pair.body_part)
    return Case(name, pair.patient, species, body_part, opened.decoded.shape, index)
