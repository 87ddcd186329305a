"""Each claim holds, fails, or is not shown, as the losses have it."""

import pytest

from radenhance.reproduce.claims import claims, take_home
from radenhance.reproduce.results import Results

BASE = (6.0, 6.4, 6.2)


def shifted(factor):
    return [factor * loss for loss in BASE]


def claim_of(scene, title):
    (line,) = [
        line for line in claims(Results(scene.study)) if title in line and "networks" not in line
    ]
    return line


def baseline_claim_of(scene, name):
    (line,) = [line for line in claims(Results(scene.study)) if f"networks beat {name}" in line
               or f"shown to beat {name}" in line]  # fmt: skip
    return line


@pytest.mark.parametrize(
    ("recipe", "title", "holds", "fails"),
    [
        ("amp", "AMP", "AMP loses less than the paper's 4.0%: +0.9% to +1.1%", 1.06),
        (
            "amp_chkp_mom",
            "AMP+Chkp+Momentum",
            "AMP+Chkp+Momentum does not diverge as the paper's, which lost 187.2%: +0.9% to +1.1%",
            3.5,
        ),
        (
            "amp_quant",
            "AMP+Quantization",
            "AMP+Quantization runs, as the paper's did not, and loses or gains less than 2.0%",
            1.06,
        ),
    ],
)
class TestOfATechnique:
    def test_it_is_made_where_the_seeds_agree(self, scene, recipe, title, holds, fails):
        scene.finish_all(original=BASE, **{recipe: shifted(1.01)})
        assert claim_of(scene, title).startswith(holds)

    def test_it_fails_where_the_loss_is_worse(self, scene, recipe, title, holds, fails):
        scene.finish_all(original=BASE, **{recipe: shifted(fails)})
        assert claim_of(scene, title).startswith(f"{title} is WORSE than the original: +")

    def test_a_better_loss_is_called_better(self, scene, recipe, title, holds, fails):
        scene.finish_all(original=[60 * loss for loss in BASE], **{recipe: [1.0, 1.0, 1.0]})
        if recipe == "amp_chkp_mom":  # by less than what the paper's lost: it has not diverged
            assert "does not diverge" in claim_of(scene, title)
        else:
            assert claim_of(scene, title).startswith(f"{title} is better than the original")

    def test_it_is_not_made_where_the_seeds_scatter(self, scene, recipe, title, holds, fails):
        scatter = (1.0, 1.0 + 2 * (fails - 1), 1.0 - 0.2 * (fails - 1))
        losses = [loss * by for loss, by in zip(BASE, scatter, strict=True)]
        scene.finish_all(original=BASE, **{recipe: losses})
        line = claim_of(scene, title)
        assert line.startswith(f"Not shown that {title} ")
        assert line.endswith("(95% interval over 3 seeds); more seeds or more epochs are needed.")

    def test_it_is_not_made_of_one_seed(self, scene, recipe, title, holds, fails):
        scene.finish("original", val=6.0)
        scene.finish(recipe, val=6.0)
        assert claim_of(scene, title).startswith(f"Not shown that {title} ")
        assert "+0.0% in 1 seed" in claim_of(scene, title)

    def test_it_waits_for_its_runs(self, scene, recipe, title, holds, fails):
        scene.finish_all(original=BASE)
        assert all("networks" in line for line in claims(Results(scene.study)))


class TestOfABaseline:
    """The raw image has a validation loss of 10, the lookup table one of 8."""

    def test_all_beat_it_where_every_interval_is_below(self, scene):
        scene.finish_all(original=BASE, amp=(7.0, 7.1, 7.2))
        assert baseline_claim_of(scene, "the raw image") == (
            "All 2 networks beat the raw image (validation loss 10.00); least surely AMP: "
            "-31.5% to -26.5% (95% interval over 3 seeds)."
        )
        assert baseline_claim_of(scene, "the lookup table").startswith(
            "All 2 networks beat the lookup"
        )

    def test_one_that_is_worse_is_named_so(self, scene):
        scene.finish_all(original=BASE, amp=(9.0, 9.1, 9.2))
        assert baseline_claim_of(scene, "the raw image").startswith("All 2 networks beat")
        line = baseline_claim_of(scene, "the lookup table")
        assert line.startswith("1 of 2 networks are shown to beat the lookup table")
        assert "; WORSE: AMP +" in line

    def test_one_whose_seeds_scatter_is_not_shown(self, scene):
        """Its mean is below the raw image's, and its interval is not."""
        scene.finish_all(original=BASE, amp=(4.0, 9.0, 13.0))
        line = baseline_claim_of(scene, "the raw image")
        assert line.startswith("1 of 2 networks are shown to beat the raw image")
        assert "; not shown: AMP -" in line

    def test_nothing_is_shown_of_one_seed(self, scene):
        scene.finish("original", val=1.0)
        line = baseline_claim_of(scene, "the raw image")
        assert line.startswith("0 of 1 networks are shown to beat the raw image")

    def test_what_is_below_it_in_each_seed_is_counted_where_the_interval_is_too_wide(self, scene):
        scene.finish_all(original=(9.9, 9.0, 3.0), amp=(9.9, 3.0, 10.1))
        line = baseline_claim_of(scene, "the raw image")
        assert "; 1 are below it in each seed, and more seeds or more epochs are needed" in line
        assert "not shown: AMP " in line
        assert "Original" not in line


def test_two_devices_equal_one_or_differ_by_so_much(scene):
    scene.finish_all(original=BASE, dist=BASE)
    assert "equals a single device to the last digit in 3 seeds" in claim_of(scene, "Dist")
    scene.finish("dist", 1, val=6.4 * 1.01)
    assert "differs from a single device by up to 1.03% in 3 seeds" in claim_of(scene, "Dist")


def test_two_devices_are_compared_by_seed_and_not_by_position(scene):
    for seed in (0, 1):
        scene.finish("original", seed, val=BASE[seed])
    for seed in (1, 2):
        scene.finish("dist", seed, val=BASE[seed])
    assert "equals a single device to the last digit in 1 seed:" in claim_of(scene, "Dist")


def test_the_sentence_names_the_least_memory_among_those_shown_to_keep_the_loss(scene):
    scene.finish_all(original=BASE, amp=shifted(1.001), amp_chkp_mom=shifted(3), dist=BASE)
    text = take_home(Results(scene.study))
    assert text.startswith("Dist takes 50% of the original's memory at 512 px (planned)")
    assert text.endswith("Of 3 techniques 2 kept it within 2%, 1 did worse.")
    scene.finish("dist", 0, val=30.0)
    text = take_home(Results(scene.study))
    assert text.startswith("AMP takes 60% of the original's memory")
    assert "1 kept it within 2%, 1 did worse, and of 1 it is not shown" in text


def test_the_sentence_claims_nothing_of_seeds_that_scatter(scene):
    """The committed study: two seeds that lie 4.7 apart, and means that all look better."""
    seeds = (18.44, 23.18, 20.8)
    scene.finish_all(original=seeds, amp=(21.45, 18.16, 19.8), amp_quant=(19.37, 19.39, 19.4))
    assert take_home(Results(scene.study)) == (
        "No technique is shown to keep the original's validation loss. Of 2 techniques 0 kept it "
        "within 2%, 0 did worse, and of 2 it is not shown: more seeds or more epochs are needed."
    )


def test_without_the_original_there_is_nothing_to_say(scene):
    scene.finish_all(amp=BASE)
    assert take_home(Results(scene.study)).startswith("The original is not done yet")
    assert all("networks" in line for line in claims(Results(scene.study)))


def test_before_any_run_nothing_is_claimed(scene):
    assert claims(Results(scene.study)) == []
