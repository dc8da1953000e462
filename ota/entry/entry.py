"""How the user starts the tasks, and in which project.

There are three ways: ``invoke`` in a folder with this tool's own ``tasks.py``, ``invoke ota.…`` where the tasks are
part of the user's ``tasks.py``, and the program ``ota``. With invoke, the project is the folder of the task file that
invoke has found, so it works from a sub-folder too. The program looks for the settings file in the same manner: in the
current folder, then in each folder above it.

Source: invoke 3.0, ``Loader.load`` (the task file is in ``sys.modules``), ``Program.task_args`` (``--collection`` is an
option only of a program that loads task files).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from invoke.collection import Collection

from ota.entry.program import CONFIG_KEY
from ota.messages import CommandLine
from ota.settings.settings import CONFIG_NAME

if TYPE_CHECKING:
    from invoke.config import Config
    from invoke.parser import ParseResult


@dataclass(frozen=True)
class Entry:
    """How one command line has been started.

    Attributes:
        root_path: the folder of the project, with ``.env`` and what this tool keeps for itself.
        line: how the user types a command.
        collection: all tasks that can be typed.
        new_project_path: where the task ``init`` writes.
    """

    root_path: Path
    line: CommandLine
    collection: Collection
    new_project_path: Path


def find_entry(tasks: Collection, config: Config, core: ParseResult | None) -> Entry:
    """The entry of this command line.

    Args:
        tasks: this tool's tasks.
        config: invoke's configuration.
        core: the core parser's result; None where a program executes tasks without a command line.
    """
    task_file = _find_task_file(config, core)
    if task_file:
        collection = Collection.from_module(task_file, auto_dash_names=config.tasks.auto_dash_names)
        folder_path = _folder_of(task_file)
        line = CommandLine(namespace=find_namespace(collection, tasks) or "")
        return Entry(folder_path, line, collection, folder_path)
    line = CommandLine(program=config[CONFIG_KEY]) if CONFIG_KEY in config else CommandLine()
    here_path = Path.cwd()
    return Entry(find_project(here_path), line, tasks, here_path)


def find_project(start_path: Path) -> Path:
    """The nearest folder with a settings file, from ``start_path`` upwards; ``start_path`` where there is none."""
    folders = (start_path, *start_path.parents)
    return next((folder for folder in folders if (folder / CONFIG_NAME).is_file()), start_path)


def find_namespace(collection: Collection, tasks: Collection) -> str | None:
    """What stands before the names of ``tasks`` in this collection, such as ``ota.``; None where they are not in it."""
    name, task = next(iter(tasks.tasks.items()))
    if name in collection.tasks and collection.tasks[name].body is task.body:  # invoke copies the tasks, not the bodies
        return ""
    for part, inner in collection.collections.items():
        below = find_namespace(inner, tasks)
        if below is not None:
            return f"{part}.{below}"
    return None


def _find_task_file(config: Config, core: ParseResult | None) -> ModuleType | None:
    """The module that invoke has loaded the tasks from; None where a program brings its tasks along."""
    option = core[0].args.get("collection") if core else None
    return sys.modules.get(option.value or config.tasks.collection_name) if option else None


def _folder_of(module: ModuleType) -> Path:
    """The folder in which invoke looked for the task file; a package stands in it as a folder of its own."""
    file_path = Path(module.__file__ or "").absolute()
    return file_path.parents[1] if hasattr(module, "__path__") else file_path.parent
