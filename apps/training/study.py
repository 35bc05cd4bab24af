"""A study: which parameters the next trial takes and when a trial is not worth finishing. Optuna, without its storage.

The trials live in the caller's rows. Trial number n depends on the seed, on n and on the trials before it, so a study
that was broken off and goes on from its rows makes the same trials as one that was not. Measures are turned so that
more is better; trials are pruned by the median of the PR-AUC of validation at the same round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.training.recipes import SPACE, Booster, Tune

WHOLE = ("max_depth",)
LOGARITHMIC = ("learning_rate", "min_child_weight", "reg_lambda")
STARTUP_TRIALS, WARMUP_ROUNDS, REPORT_EVERY = 5, 15, 5

Params = dict[str, float | int]


class TrialPruned(Exception):  # noqa: N818 - not an error
    """The trial is worse than the median of those before it at the same round."""


def space_of(tune: Tune, base: Booster) -> dict[str, tuple[float, float]]:
    """Least and most of each parameter, in the order of the recipes; the recipe's own value is always inside."""
    wanted = {name: tune.space[name] for name in SPACE if name in tune.space}
    own = {name: float(getattr(base, name)) for name in wanted}
    return {name: (min(low, own[name]), max(high, own[name])) for name, (low, high) in wanted.items()}


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has ended: `value` in the measure's own units (None: failed or pruned)."""

    params: Mapping[str, float | int]
    value: float | None
    pruned: bool
    steps: Sequence[tuple[int, float]]


@dataclass(slots=True)
class Study:
    """Asks and tells in order of the trials' numbers, from 0. Trial 0 is the recipe as it stands."""

    tune: Tune
    base: Booster
    seed: int
    _study: Any = field(init=False)

    def __post_init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_ROUNDS, REPORT_EVERY)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)

    def add(self, ended: Ended) -> None:
        """Take over a trial of before the study was broken off."""
        import optuna

        states = optuna.trial.TrialState
        state = states.COMPLETE if ended.value is not None else states.PRUNED if ended.pruned else states.FAIL
        self._study.add_trial(
            optuna.trial.create_trial(
                params=dict(ended.params),
                distributions=self._distributions(),
                value=None if ended.value is None else self._upward(ended.value),
                intermediate_values=dict(ended.steps),
                state=state,
            )
        )

    def ask(self) -> Running:
        """The next trial."""
        import optuna

        number = len(self._study.trials)
        self._study.sampler = optuna.samplers.TPESampler(seed=(self.seed + number) % 2**32, n_startup_trials=10)
        if number == 0:
            self._study.enqueue_trial({name: getattr(self.base, name) for name in self.tune.space})
        trial = self._study.ask(self._distributions())
        return Running(number, dict(trial.params), trial)

    def tell(self, running: Running, value: float | None, *, pruned: bool = False) -> None:
        """End a trial; None where the measure is not defined."""
        import optuna

        states = optuna.trial.TrialState
        if value is not None:
            self._study.tell(running.handle, self._upward(value))
        else:
            self._study.tell(running.handle, state=states.PRUNED if pruned else states.FAIL)

    def _upward(self, value: float) -> float:
        return -value if self.tune.measure == "log_loss" else value

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            name: IntDistribution(int(low), int(high))
            if name in WHOLE
            else FloatDistribution(low, high, log=name in LOGARITHMIC and low > 0)
            for name, (low, high) in space_of(self.tune, self.base).items()
        }


@dataclass(slots=True)
class Running:
    """A trial under way. `params` go into the recipe; `steps` are the rounds reported so far."""

    number: int
    params: Params
    handle: Any
    steps: list[tuple[int, float]] = field(default_factory=list)

    def report(self, round_number: int, pr_auc: float) -> None:
        """Hear of a round. Raises TrialPruned where going on is not worth it."""
        if round_number % REPORT_EVERY:
            return
        self.steps.append((round_number, pr_auc))
        self.handle.report(pr_auc, round_number)
        if self.handle.should_prune():
            raise TrialPruned
