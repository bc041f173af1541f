"""Tuning: a genetic algorithm over the fields of a spec, each individual trained and ranked on the validation split."""
