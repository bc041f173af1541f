"""Work as jobs: worker processes, processors, fingerprints of files."""
