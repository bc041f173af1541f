"""Work as jobs: worker processes, processors, memory, fingerprints of files, what a training costs."""
