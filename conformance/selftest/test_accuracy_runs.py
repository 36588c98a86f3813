"""The runs of the accuracy benchmark: losses, tuning, the plan, training, intervals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tuned_contrastive.backends.torch import supcon_loss
from tuned_contrastive.benchmarks.accuracy import training, tuning
from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.losses import BarlowTwins, SimSiam, build, view_count
from tuned_contrastive.benchmarks.accuracy.names import SELF_SUPERVISED, SUPERVISED, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FINAL, FULL, QUICK, SWEEPS, TUNING, Plan, Run
from tuned_contrastive.benchmarks.accuracy.statistics import mean_interval, paired_interval
from tuned_contrastive.benchmarks.accuracy.training import carry_out, trained

RNG = np.random.default_rng(0)
PLAN = Plan(QUICK, QUICK.datasets)


def test_ntxent_of_the_two_libraries_agrees() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(17, 2, 5), torch.arange(17)
    theirs = build("ntxent", 5, {"temperature": 0.2})(z, labels)
    ours = build("simclr", 5, {"temperature": 0.2})(z, labels)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours, supcon_loss(z, temperature=0.2))


def test_tcl_takes_three_views_without_labels() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(7, 3, 5), torch.zeros(7, dtype=torch.int64)
    plain = build("tcl-3-views", 5, {"temperature": 0.2, "k1": 0.0, "k2": 1.0})(z, labels)
    torch.testing.assert_close(plain, supcon_loss(z, temperature=0.2))
    assert view_count("tcl-3-views") == 3


def test_barlow_twins_of_a_worked_batch() -> None:
    first = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    z = torch.stack([first, first * torch.tensor([1.0, -1.0])], 1)  # C = [[1, -1], [1, -1]]
    found = BarlowTwins(0.25)(3 * z + 1, torch.zeros(4))  # standardised, whatever they were
    assert found.item() == pytest.approx(4 + 0.25 * 2, rel=1e-4)


def test_vicreg_of_a_worked_batch() -> None:
    first = torch.tensor([[1.0, 0.25], [-1.0, -0.25]])  # variances 2 and 1/8, covariance 1/2
    z = torch.stack([first, first + 1], 1)
    found = build("vicreg", 2, {"covariance": 0.5})(z, torch.zeros(2))
    variance = (1 - math.sqrt(1 / 8)) / 2 / 2 * 2  # half of it, mean of the columns, both views
    covariance = 2 * 0.5**2 / 2 * 2
    assert found.item() == pytest.approx(25 * 1 + 25 * variance + 0.5 * covariance, rel=1e-3)


@pytest.mark.parametrize(("second", "value"), [([1.0, -1.0], 0.0), ([1.0, 1.0], -1.0)])
def test_simsiam_of_a_worked_batch(second: list[float], value: float) -> None:
    loss = SimSiam(2)
    loss.predictor = torch.nn.Sequential(torch.nn.Identity())
    rows = torch.tensor([[1.0, 1.0], second])
    z = torch.stack([rows, -rows], 0)  # views 1 of the two rows, and so on: columns of mean 0
    moved = 3 * z + torch.tensor([1.0, 5.0])  # normalised, whatever the columns were
    assert loss(moved, torch.zeros(2)).item() == pytest.approx(value, abs=1e-3)


def test_simsiam_has_no_gradient_through_what_is_predicted() -> None:
    torch.manual_seed(0)
    loss = SimSiam(4)
    constant = torch.nn.Linear(4, 4)
    torch.nn.init.zeros_(constant.weight)
    loss.predictor = torch.nn.Sequential(constant)
    z = torch.randn(6, 2, 4, requires_grad=True)
    loss(z, torch.zeros(6)).backward()
    assert z.grad is not None
    assert z.grad.abs().max() == 0


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss must be one of untrained, .*, got triplet"):
        build("triplet", 2, {})


@pytest.mark.parametrize("loss", [*SUPERVISED, *SELF_SUPERVISED])
def test_every_loss_is_tuned_in_as_many_runs(loss: str) -> None:
    tried = tuning.trials(loss, FULL.trials)
    assert len(tried) == len({json.dumps(each) for each in tried}) == FULL.trials
    assert tried[0] == tuning.defaults(loss)


def test_tuning_draws_lie_in_their_ranges() -> None:
    tried = tuning.trials("tcl", 50)
    outside = [
        (name, each[name])
        for each in tried
        for name in ("learning_rate", "temperature", "k1", "k2")
        if not tuning.RANGES[name][0] <= each[name] <= tuning.RANGES[name][1]
    ]
    assert outside == []


def test_the_best_on_validation_rows_is_the_one_that_counts() -> None:
    tried = PLAN.tuning_runs("supervised", "wine", "tcl", 1)
    lines = [
        {"key": run.key, "run": run.as_json(), "validation": {"linear": value}}
        for run, value in zip(tried, (0.5, 0.75), strict=True)
    ]
    found = PLAN.final_run("supervised", "wine", "tcl", 1, lines)
    assert found == replace(tried[1], role=FINAL)


def test_a_sweep_changes_one_parameter() -> None:
    base, other = (dict(PLAN.swept("tcl", "k1", k1, 0).parameters) for k1 in (5e3, 0))
    assert {name for name in base if base[name] != other[name]} == {"k1"}
    assert PLAN.swept("supcon", "k1", 0, 0) == PLAN.swept("supcon", "k2", 5, 0)
    assert (min(SWEEPS["k1"]), max(SWEEPS["k1"])) == (0, 1e5)


def test_the_whole_has_five_seeds_at_least() -> None:
    assert min(FULL.seeds, FULL.sweep_seeds) >= 5


def tiny(loss: str, setting: str = "supervised", role: str = TUNING, **given: float) -> Run:
    """Return a short run on wine."""
    parameters = {**tuning.defaults(loss), "epochs": 1.0, "steps": 8.0, **given}
    return Run(setting, "wine", loss, 0, role, tuple(sorted(parameters.items())))


@pytest.mark.parametrize("loss", [*SUPERVISED, *SELF_SUPERVISED])
def test_a_run_is_told_by_its_seed(loss: str) -> None:
    first, second = (carry_out(tiny(loss), None) for _ in range(2))
    assert first["loss"] == second["loss"]
    assert first["validation"] == second["validation"]
    assert first["steps"] == 8


def test_only_a_run_that_counts_sees_the_test_rows() -> None:
    tried, counted = (carry_out(tiny("tcl", role=role), None) for role in (TUNING, FINAL))
    assert "test" not in tried
    assert 0.5 < counted["test"]["linear"] <= 1
    assert counted["validation"] == tried["validation"]


@pytest.mark.parametrize("loss", [*SUPERVISED, *SELF_SUPERVISED])
def test_every_loss_starts_from_the_same_encoder(loss: str) -> None:
    split = load("wine", 0)
    starts = []
    for run in (tiny(loss, learning_rate=0.0, steps=1.0), tiny(UNTRAINED)):
        torch.manual_seed(0)
        starts.append(list(trained(run, split)[0].parameters()))
    torch.testing.assert_close(*starts, rtol=0, atol=0)


class Probe:
    """A classifier that is best on validation rows where it is not best on test rows."""

    def __init__(self, strength: float, validation: int) -> None:
        self.scores = {validation: {0.1: 0.9}.get(strength, 0.5), -1: strength}
        self.validation, self.C = validation, strength

    def score(self, _: object, labels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        """Return the accuracy by the number of rows."""
        return self.scores[len(labels) if len(labels) == self.validation else -1]


def test_the_validation_rows_choose_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(load("wine", 0).validation.y)
    monkeypatch.setattr(training, "_probe", lambda x, y, strength: Probe(strength, count))
    found = carry_out(tiny("tcl", role=FINAL), None)
    assert found["validation"]["linear"] == 0.9
    assert (found["test"]["linear"], found["test"]["C"]) == (0.1, 0.1)


def test_neighbours_are_asked_without_labels() -> None:
    found = carry_out(tiny("simclr", "self-supervised"), None)
    assert 0.5 < found["validation"]["neighbours"] <= 1


def test_training_that_diverges_counts_as_nothing() -> None:
    found = carry_out(tiny("barlow-twins", learning_rate=1e30, steps=30), None)
    assert found["validation"]["linear"] == 0
    assert found["loss"][1] is None


def test_training_beats_the_untrained_encoder() -> None:
    given = {**tuning.defaults("supcon"), "epochs": 1.0, "steps": 120.0}
    run = Run("supervised", "digits-few", "supcon", 0, TUNING, tuple(given.items()))
    trained = carry_out(run, None)
    bare = carry_out(replace(run, loss=UNTRAINED, parameters=()), None)
    assert trained["validation"]["linear"] > bare["validation"]["linear"] + 0.02
    assert trained["loss"][1] < trained["loss"][0]


def test_plain_paired_interval_is_students() -> None:
    a, b = RNG.normal(0.9, 0.1, 7), RNG.normal(0.8, 0.1, 7)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_interval(a.tolist(), b.tolist(), 0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(a - b))


def test_shared_rows_widen_the_paired_interval() -> None:
    a, b = [0.9, 0.8, 0.95, 0.7], [0.8, 0.75, 0.9, 0.75]
    plain, wide = (paired_interval(a, b, ratio) for ratio in (0, 0.6))
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(
        math.sqrt((0.25 + 0.6) / 0.25)
    )


@pytest.mark.parametrize(
    ("second", "side"),
    [([0.5] * 5, 1), ([1.0] * 5, -1), ([0.9, 0.1, 0.9, 0.1, 0.9], 0), ([0.8] * 5, 0)],
)
def test_a_difference_is_claimed_where_its_interval_excludes_zero(
    second: list[float], side: int
) -> None:
    assert paired_interval([0.81, 0.8, 0.79, 0.8, 0.8], second, 0.6).side == side


@pytest.mark.parametrize(("seeds", "side"), [(4, 0), (5, 1)])
def test_fewer_than_five_seeds_claim_nothing(seeds: int, side: int) -> None:
    found = paired_interval([0.81, 0.8, 0.79, 0.82, 0.8][:seeds], [0.5] * seeds, 0.6)
    assert found.low > 0
    assert (found.side, found.reversed.side) == (side, -side)


@pytest.mark.parametrize("seeds", [2, 5, 10])
def test_equal_differences_claim_nothing(seeds: int) -> None:
    higher, lower = ([start + 0.01 * k for k in range(seeds)] for start in (0.8, 0.7))
    found = paired_interval(higher, lower, 0.6)
    assert (found.low, found.high, found.p, found.side) == (-math.inf, math.inf, 1.0, 0)
    assert found.mean == pytest.approx(0.1)


def test_no_difference_at_all_is_certain_of_nothing_else() -> None:
    found = paired_interval([0.8] * 5, [0.8] * 5, 0.6)
    assert (found.low, found.high, found.p, found.side) == (0, 0, 1.0, 0)


def test_one_seed_says_nothing() -> None:
    assert mean_interval([0.9]).high == math.inf
