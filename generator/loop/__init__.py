"""The way back to training: served events to data, data to a candidate model, published if it is not worse."""
