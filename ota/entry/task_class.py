"""The class of the tasks: an error that a user can cause becomes a message, and a bug keeps its traceback.

What the tasks of one command line share is kept in invoke's configuration: how the line was started, and its run.
Errors are imported only when something was raised, so that listing the tasks is quick.

Source: invoke 3.0, ``Task.__call__``, ``Call.make_context``, ``Executor.execute``.
"""

from __future__ import annotations

import copy
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Call, Task

if TYPE_CHECKING:
    from inspect import Signature

    from invoke.collection import Collection
    from invoke.config import Config
    from invoke.context import Context
    from invoke.parser import ParseResult

    from ota.entry.entry import Entry
    from ota.errors import OtaError
    from ota.run import Run

ENTRY = "ota_entry"  # keys in invoke's configuration
RUN = "ota_run"  # `run` is invoke's own
INTERRUPTED = 130  # as a shell has it for SIGINT


class QuickArgument(Argument):
    """An argument that is copied as it is: invoke copies those of all tasks twice, and gives one a new value whole."""

    def __init__(self, made: Argument) -> None:
        vars(self).update(vars(made))

    def __deepcopy__(self, _memo: object) -> QuickArgument:
        return QuickArgument(self)


class MessageTask(Task):  # type: ignore[type-arg]
    """A task that prints an error that a user can cause as a message, and a bug as a traceback."""

    _signature: Signature | None = None

    def __deepcopy__(self, _memo: object) -> MessageTask:
        """A copy with its own help texts, which invoke empties; a full copy takes most of the time of ``--list``."""
        clone = copy.copy(self)
        clone.help = dict(self.help)
        return clone

    def argspec(self, body: Any) -> Signature:
        """What the body takes, worked out once: invoke asks for it twice of each task."""
        if self._signature is None:
            self._signature = super().argspec(body)
        return self._signature

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's arguments, quick to copy."""
        return [QuickArgument(made) for made in super().get_arguments(ignore_unknown_help)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body, and turn our errors and AWS's into a message and an exit status; no other code does that."""
        context = args[0]
        try:
            return super().__call__(*args, **kwargs)
        except _our_error() as error:
            failure = error
        except _aws_errors() as error:
            from ota.errors import from_boto

            failure = from_boto(error)
        except OSError as error:
            from ota.errors import from_system

            known = from_system(error)
            if known is None:
                raise
            failure = known
        except KeyboardInterrupt:
            from ota.errors import Interrupted

            failure = Interrupted()
        except Exception:
            _show_bug(context)
            raise
        if RUN not in context.config:  # making the run has failed
            raise Exit(str(failure), code=failure.exit_code) from None
        run = run_of(context)
        if failure.exit_code != INTERRUPTED:
            run.steps.wind_up()
        run.report.failure(failure)
        raise Exit(run.report.error_text(failure.message), code=failure.exit_code) from None


class WholeLine(Call):
    """The call of a task that gets the result of invoke's core parser as ``context.core``."""

    def make_context(self, config: Config, core_parse_result: ParseResult) -> Context:
        """The usual context with the core parser's result in it."""
        context = super().make_context(config, core_parse_result)
        context._set(core=core_parse_result)
        return context


def keep_compiled(task_file: str) -> None:
    """Keep the compiled code of the task file, as Python does for a module: the next command need not compile it.

    Invoke has Python keep none while it loads a task file. One that cannot be kept costs the next command that time.
    """
    source, cached = Path(task_file), Path(cache_from_source(task_file))
    with suppress(OSError):
        if sys.dont_write_bytecode or (cached.exists() and cached.stat().st_mtime >= source.stat().st_mtime):
            return
        from py_compile import compile as compile_and_keep

        compile_and_keep(task_file, doraise=True)


def begin(context: Context, tasks: Collection) -> Entry:
    """How this command line was started, found before the first task and kept for the others."""
    if ENTRY not in context.config:
        from ota.entry.entry import find_entry

        context.config.update({ENTRY: find_entry(tasks, context.config, getattr(context, "core", None))})
    return entry_of(context)


def entry_of(context: Context) -> Entry:
    """How this command line was started."""
    return cast("Entry", context.config[ENTRY])


def run_of(context: Context) -> Run:
    """The run of this command line, made on first use and kept for the next tasks."""
    if RUN not in context.config:
        from ota.run import Run

        entry = entry_of(context)
        context.config.update({RUN: Run(entry.root_path, line=entry.line)})
    return cast("Run", context.config[RUN])


def _our_error() -> type[OtaError]:
    from ota.errors import OtaError

    return OtaError


def _aws_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def _show_bug(context: Context) -> None:
    """Give a program that reads stdout its document; the traceback follows on stderr."""
    from ota.errors import OtaError

    if RUN in context.config:
        run_of(context).report.failure(OtaError("A bug in this tool: stderr has the traceback."))
