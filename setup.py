"""Builds the package as setup.cfg says, and compiles the templates into it."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithTemplates(build_py):
    """`build_py`, then the templates as Python modules; an editable install reads templates as they are."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            # By path: the package itself imports more than building needs.
            module = runpy.run_path(str(ROOT / "generator" / "codegen" / "environment.py"))
            module["compile_templates"](ROOT / "templates", Path(self.build_lib) / "generator" / "codegen")


setup(cmdclass={"build_py": BuildWithTemplates})
