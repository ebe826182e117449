"""Packs `configs/` and `scripts/` into the wheel, for the command `tagsmith`; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithScripts(build_py):
    """An editable install uses the folders of the checkout instead."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("configs", "scripts"):
                target = Path(self.build_lib, "tagsmith", name)
                shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithScripts})
