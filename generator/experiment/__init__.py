"""The paper's experiments: a plan trained run by run, cached, and reported with a verdict on each claim."""
