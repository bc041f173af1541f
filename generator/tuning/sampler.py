"""What draws genomes: optuna's NSGA-II, random or TPE sampler, asked for one generation and told it, in order."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from generator.tuning.plan import COSTS, Genetic, TuningPlan

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.samplers.nsgaii import BaseCrossover
    from optuna.trial import Trial

Direction = Literal["minimize", "maximize"]

__all__ = ["Sampler", "importances"]


class Sampler:
    """A deterministic source of genomes: the same seed and the same figures told give the same genomes."""

    def __init__(self, plan: TuningPlan) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._parameters = plan.space.parameters()
        self._study = optuna.create_study(directions=_directions(plan.objectives), sampler=_sampler(plan))

    def ask(self) -> "tuple[Trial, dict[str, Any]]":
        """Return a trial, to be told later, and its genome: what was drawn, by parameter."""
        trial = self._study.ask(self._parameters)
        return trial, dict(trial.params)

    def tell(self, trial: "Trial", figures: Sequence[float]) -> None:
        """Say what the individual of ``trial`` came to, one figure an objective."""
        self._study.tell(trial, list(figures))


def _directions(objectives: Sequence[str]) -> list[Direction]:
    return ["minimize" if objective in COSTS else "maximize" for objective in objectives]


def _sampler(plan: TuningPlan) -> "BaseSampler":
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
    from optuna.samplers.nsgaii import PolynomialMutation

    genetic = plan.genetic
    if plan.sampler == "random":
        return RandomSampler(seed=plan.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna calls some crossovers and options experimental
        if plan.sampler == "tpe":
            # Asked several at a time, it must know of those under way, or it would propose one spot again and again.
            return TPESampler(seed=plan.seed, multivariate=True, constant_liar=genetic.population > 1)
        return NSGAIISampler(
            seed=plan.seed,
            population_size=genetic.population,
            crossover=_crossover(genetic),
            crossover_prob=genetic.crossover_rate,
            mutation=PolynomialMutation() if genetic.mutation == "polynomial" else None,
            mutation_prob=genetic.mutation_rate,
        )


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
    return kinds[genetic.crossover]()


def importances(plan: TuningPlan, genomes: Sequence[dict[str, Any]], figures: Sequence[float]) -> dict[str, float]:
    """Return how much of the first objective's spread each parameter explains, by PED-ANOVA; most first, sum 1.

    Watanabe et al., "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces", 2023: how
    far the values of the best tenth are from all that were tried.

    Parameters
    ----------
    plan
        For the parameters and their ranges.
    genomes, figures
        What was drawn, and the first objective it came to; fewer than ten give no importances.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parameters = {name: each for name, each in plan.space.parameters().items() if not each.single()}
    if len(genomes) < 10 or len(set(figures)) < 2:
        return {}
    study = optuna.create_study(direction=_directions(plan.objectives[:1])[0])
    for genome, figure in zip(genomes, figures, strict=True):
        drawn = {name: genome[name] for name in parameters}
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=parameters, value=figure))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
