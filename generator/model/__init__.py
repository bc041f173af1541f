"""Inference: a trained model asked for recommendations, one at a time or many, offline and online alike."""
