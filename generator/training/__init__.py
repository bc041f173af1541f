"""Training without a framework: ``engine`` makes the updates, ``run`` makes a folder of them; see `run.train`."""
