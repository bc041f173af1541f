"""A training run: the folder it writes, from the first snapshot to the exported model; see `train` in `train`."""
