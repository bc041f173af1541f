"""Optuna's samplers: random search, TPE, Gaussian processes, and NSGA-II, the genetic algorithm of the paper."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from generator.errors import DrnError, pip_install
from generator.tuning.genes import GeneParameter
from generator.tuning.history import Individual
from generator.tuning.plan import COSTS, Genetic, TuningPlan

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.samplers.nsgaii import BaseCrossover
    from optuna.trial import Trial

__all__ = ["OptunaSampler", "distributions", "options", "require_optuna", "versions"]

OLDEST = 5  # the first with mutations of its NSGA-II; its draws differ from those of optuna 4
NEEDS = {"gp": ("scipy", "torch")}  # beside optuna and numpy


def require_optuna(sampler: str) -> None:
    """Raise DrnError where what ``sampler`` needs is not installed, or too old."""
    missing = [name for name in ("optuna", *NEEDS.get(sampler, ())) if find_spec(name) is None]
    if missing:
        extra = "tune-gp" if sampler in NEEDS else "tune"
        raise DrnError(f"drn tune needs {' and '.join(missing)} for the sampler {sampler}: {pip_install(extra)}")
    if int((found := version("optuna")).partition(".")[0]) < OLDEST:
        raise DrnError(f"drn tune needs optuna {OLDEST} or later, and here is {found}: {pip_install('tune')}")


class OptunaSampler:
    """A `Sampler` of optuna: the same seed and figures give the same genomes under the same version of optuna."""

    def __init__(self, plan: TuningPlan) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._parameters = distributions(plan.space.parameters())
        self._asked: list[Trial] = []
        with _quiet():
            self._study = optuna.create_study(directions=_directions(plan.objectives), sampler=_sampler(plan))
            for genes in plan.start:
                self._study.enqueue_trial(plan.space.drawn(genes))

    def ask(self) -> dict[str, Any]:
        """As `Sampler.ask`."""
        with _quiet():
            self._asked.append(self._study.ask(self._parameters))
        return dict(self._asked[-1].params)

    def tell(self, asked: Sequence[Individual]) -> None:
        """As `Sampler.tell`."""
        for trial, individual in zip(self._asked, asked, strict=True):
            self._study.tell(trial, list(individual.figures))
        self._asked = []


def versions(sampler: str) -> dict[str, str]:
    """Return the version of each package that bears on what ``sampler`` draws."""
    return {name: version(name) for name in ("optuna", "numpy", *NEEDS.get(sampler, ()))}


def distributions(parameters: Mapping[str, GeneParameter]) -> "dict[str, BaseDistribution]":
    """Return the parameters in optuna's terms."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, each in parameters.items():
        if each.category:
            found[name] = CategoricalDistribution(range(int(each.high) + 1))
        elif each.whole:
            found[name] = IntDistribution(int(each.low), int(each.high), log=each.log, step=each.step)
        else:
            found[name] = FloatDistribution(each.low, each.high, log=each.log)
    return found


def options(plan: TuningPlan) -> dict[str, Any]:
    """Return the options of the plan's sampler, every one that bears on what it draws, as the journal holds them.

    Optuna's own defaults changed from 4 to 5 (TPE became multivariate with constant liar), so none is left to it but
    those that it is about to drop and warns of.
    """
    genetic = plan.genetic
    if plan.sampler == "tpe":
        # Asked several at a time, it must know of those under way, or it would propose one spot again and again.
        liar = plan.population > 1
        return {
            "n_startup_trials": 10,
            "n_ei_candidates": 24,
            "multivariate": True,
            "group": False,
            "constant_liar": liar,
        }
    if plan.sampler == "gp":
        return {"n_startup_trials": 10, "deterministic_objective": False, "warn_independent_sampling": False}
    if plan.sampler == "genetic":
        return {
            "population_size": plan.population,
            "crossover": {"name": genetic.crossover, **_CROSSOVERS[genetic.crossover]},
            "crossover_prob": genetic.crossover_rate,
            "swapping_prob": 0.5,
            "mutation": {"eta": 20.0} if genetic.mutation == "polynomial" else None,
            "mutation_prob": genetic.mutation_rate,
        }
    return {}


_CROSSOVERS: dict[str, dict[str, Any]] = {
    "uniform": {"swapping_prob": 0.5},
    "blxalpha": {"alpha": 0.5},
    "sbx": {"eta": None, "uniform_crossover_prob": 0.5, "use_child_gene_prob": 0.5},
    "vsbx": {"eta": None, "uniform_crossover_prob": 0.5, "use_child_gene_prob": 0.5},
    "spx": {"epsilon": None},
    "undx": {"sigma_xi": 0.5, "sigma_eta": None},
}  # options of each, after its paper


def _sampler(plan: TuningPlan) -> "BaseSampler":
    from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
    from optuna.samplers.nsgaii import PolynomialMutation

    chosen = options(plan)
    if plan.sampler == "random":
        return RandomSampler(seed=plan.seed)
    if plan.sampler == "tpe":
        return TPESampler(seed=plan.seed, **chosen)
    if plan.sampler == "gp":
        return GPSampler(seed=plan.seed, independent_sampler=RandomSampler(seed=plan.seed), **chosen)
    mutation = chosen["mutation"]
    made = {"crossover": _crossover(plan.genetic), "mutation": PolynomialMutation(**mutation) if mutation else None}
    return NSGAIISampler(seed=plan.seed, **{**chosen, **made})


def _crossover(genetic: Genetic) -> "BaseCrossover":
    from optuna.samplers import nsgaii

    kinds: dict[str, type[BaseCrossover]] = {
        "uniform": nsgaii.UniformCrossover,
        "blxalpha": nsgaii.BLXAlphaCrossover,
        "sbx": nsgaii.SBXCrossover,
        "vsbx": nsgaii.VSBXCrossover,
        "spx": nsgaii.SPXCrossover,
        "undx": nsgaii.UNDXCrossover,
    }
    return kinds[genetic.crossover](**_CROSSOVERS[genetic.crossover])


def _directions(objectives: Sequence[str]) -> list[Literal["minimize", "maximize"]]:
    return ["minimize" if objective in COSTS else "maximize" for objective in objectives]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna's warnings of what is experimental off stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
