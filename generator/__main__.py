"""``python -m generator`` is the ``drn`` command."""

from generator.cli import main

main()
