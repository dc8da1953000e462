"""Put the tasks and the example of ``.env`` into the package, which pyproject.toml cannot say.

``tasks.py`` and ``env.example`` stand at the top of the repository, for those who clone it. In a wheel they are in
``ota/``, so that ``ota.tasks`` can be imported from anywhere. An editable install imports
``tasks.py`` where it stands.

Source: setuptools' documentation, "Extending or customizing setuptools" (``cmdclass``, ``build_py``).
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODULE = "ota.tasks"
FILES = ("tasks.py", "env.example")


class BuildPy(build_py):
    """The usual step, then the files at the top of the repository."""

    def run(self) -> None:
        """Copy them beside the package's modules, or name the module's place to the editable install."""
        super().run()
        if not self.editable_mode:
            for name in FILES:
                self.copy_file(name, str(Path(self.build_lib, "ota", name)))
            return
        # The finder of an editable install looks up each package by its place, and takes a module as well.
        self.distribution.packages = [*self.distribution.packages, MODULE]
        self.distribution.package_dir = {**(self.distribution.package_dir or {}), MODULE: "tasks"}


setup(cmdclass={"build_py": BuildPy})
