"""Which genes matter: how much of the first objective's spread each explains."""

import warnings
from collections.abc import Sequence
from typing import Any

from generator.tuning.optuna_samplers import distributions
from generator.tuning.plan import TuningPlan

__all__ = ["importances"]


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
    drawn_from = {name: each for name, each in plan.space.parameters().items() if each.low < each.high}
    parameters = distributions(drawn_from)
    if len(genomes) < 10 or len(set(figures)) < 2:
        return {}
    study = optuna.create_study(direction="maximize")
    for genome, figure in zip(genomes, figures, strict=True):
        drawn = {name: genome[name] for name in parameters}
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=parameters, value=figure))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
