"""Messages and the commands in them, as data that is rendered for the command line on which it is shown.

A message often ends with a command to paste. How that command begins depends on the command line: ``invoke``, ``ota``
or ``invoke ota.``, then ``sandbox`` and the flags of ``with``, so that the pasted command works on the same objects.
So code writes a command as a task and its words, and only the place that prints renders it.

Source: invoke's documentation, "Invoking tasks" (tasks and their flags are chained on one command line); AWS CLI
reference, global options ``--region`` and ``--endpoint-url``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.client import BaseClient

AND = " && "
SANDBOX_ENVIRONMENT_TASK = "sandbox.env"
UNSCOPED_TASKS = frozenset({"help", "init"})  # of neither a cloud nor settings
CLI_NAMES = {"s3": "s3api"}
GLOBAL_SERVICES = frozenset({"iam"})


@dataclass(frozen=True)
class Command:
    """A command of this tool: tasks in a chain, and settings that only this command changes.

    Attributes:
        tasks: each task's name and its words: ``(("delete.thing", "--name", "lamp"),)``.
        settings: name of a setting, or ``config_file``, to its value for this command.
        options: options of invoke itself, such as ``--help``; such a command needs neither sandbox nor settings.
        variables: environment variables that only this command gets, name to value.
        foreign: names of tasks in it that are the user's own.
    """

    tasks: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    foreign: frozenset[str] = frozenset()

    def then(self, task: str, *words: str) -> Command:
        """The same command with one more task behind it."""
        return replace(self, tasks=(*self.tasks, (task, *words)))

    def with_settings(self, **settings: str) -> Command:
        """The same command with these settings changed too."""
        return replace(self, settings=tuple({**dict(self.settings), **settings}.items()))

    def with_variables(self, **variables: str) -> Command:
        """The same command with these environment variables."""
        return replace(self, variables=tuple({**dict(self.variables), **variables}.items()))


@dataclass(frozen=True)
class Shell:
    """A command of another program, complete and quoted; ``calls_aws`` where it needs AWS's endpoint and keys."""

    line: str
    calls_aws: bool = False


AnyCommand = Command | Shell
Remedy = tuple[AnyCommand, ...]


@dataclass(frozen=True)
class Message:
    """Text with commands in it; a command is shown in backquotes."""

    pieces: tuple[str | AnyCommand, ...]

    def __bool__(self) -> bool:
        return any(self.pieces)

    def __str__(self) -> str:
        return PLAIN.text(self)


Text = str | Message


@dataclass(frozen=True)
class CommandLine:
    """How the user types a command, and which cloud and settings this command line is about.

    Attributes:
        program: ``invoke``, or ``ota``.
        namespace: what stands before a task's name where the tasks are part of another task file: ``ota.``.
        is_sandbox: the command line talks to the sandbox.
        settings: settings given with flags, name to value.
        config_file: the settings file given with a flag; empty where none was.
    """

    program: str = "invoke"
    namespace: str = ""
    is_sandbox: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    config_file: str = ""

    def text(self, message: Text, *, space: str = " ") -> str:
        """The message, each command in it rendered for this command line, with ``space`` between a command's words."""
        if isinstance(message, str):
            return message
        pieces = message.pieces
        return "".join(one if isinstance(one, str) else f"`{self.render(one)}`".replace(" ", space) for one in pieces)

    def remedy(self, steps: AnyCommand | Remedy) -> str:
        """One line for the shell that does all the steps; empty where there is none."""
        return AND.join(self.render(step) for step in ((steps,) if isinstance(steps, Command | Shell) else steps))

    def render(self, step: AnyCommand) -> str:
        """One command as this user types it."""
        if isinstance(step, Command):
            return shlex.join(self._words(step))
        if step.calls_aws and self.is_sandbox:
            # In a shell of its own, so that the user's own shell does not go on pointing at the sandbox.
            environment = shlex.join([self.program, f"{self.namespace}{SANDBOX_ENVIRONMENT_TASK}"])
            return f'(eval "$({environment})" && {step.line})'
        return step.line

    def with_settings(self, **settings: str) -> CommandLine:
        """The same command line about other settings."""
        return replace(self, settings={**self.settings, **settings})

    def _words(self, command: Command) -> list[str]:
        tasks: list[str] = []
        for task, *words in command.tasks:
            tasks += [task if task in command.foreign else f"{self.namespace}{task}", *words]
        if command.options or command.tasks[0][0] in UNSCOPED_TASKS:
            return [self.program, *command.options, *tasks]
        names_sandbox = command.tasks[0][0].partition(".")[0] == "sandbox"
        variables = [f"{name}={value}" for name, value in command.variables]
        return [*variables, self.program, *self._scope(dict(command.settings), names_sandbox=names_sandbox), *tasks]

    def _scope(self, changed: Mapping[str, str], *, names_sandbox: bool) -> list[str]:
        flags: list[str] = []
        file = {"config_file": self.config_file} if self.config_file else {}
        for name, value in {**file, **self.settings, **changed}.items():
            flags += [f"--{name.replace('_', '-')}", value]
        sandbox = [f"{self.namespace}sandbox"] if self.is_sandbox and not names_sandbox else []
        return [*sandbox, *([f"{self.namespace}with", *flags] if flags else [])]


PLAIN = CommandLine()


def command(task: str, *words: str, **settings: str) -> Command:
    """A command of this tool: ``command("delete.thing", "--name", "lamp")``, ``command("all", bucket_name="b-2")``."""
    return Command(((task, *words),), tuple(settings.items()))


def help_command(task: str) -> Command:
    """The command that shows a task's help."""
    return Command(((task,),), options=("--help",))


def shell(*words: object) -> Shell:
    """A command of another program, each word quoted where the shell needs it: ``shell("mv", path, other_path)``."""
    return Shell(shlex.join(str(word) for word in words))


def aws_command(client: BaseClient, operation: str, **options: object) -> Shell:
    """The AWS CLI's command that makes this client's service do this, in the client's region.

    An option without a value is a flag: ``(s3, "delete-bucket", bucket="b")``, ``(iot, "delete-job", …, force="")``.
    The region is always named, because the tool's own may come from ``.env``, which the CLI does not read. So is an
    endpoint that is not AWS's, so that a command printed in the sandbox cannot reach a real account.
    """
    service = client.meta.service_model.service_name
    words = ["aws", CLI_NAMES.get(service, service), operation]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([str(value)] if str(value) else [])]
    if service not in GLOBAL_SERVICES:
        words += ["--region", client.meta.region_name]
    if ".amazonaws.com" not in client.meta.endpoint_url:
        words += ["--endpoint-url", client.meta.endpoint_url]
    return Shell(shlex.join(words), calls_aws=True)


def message(*pieces: str | AnyCommand | Message) -> Message:
    """A message of these pieces: ``message("Run ", command("clean"), " first.")``."""
    flat: list[str | AnyCommand] = []
    for piece in pieces:
        flat += piece.pieces if isinstance(piece, Message) else [piece]
    return Message(tuple(flat))


def joined(separator: str, parts: list[Text]) -> Message:
    """The parts as one message, with the separator between them."""
    pieces: list[str | AnyCommand | Message] = []
    for part in parts:
        pieces += [separator, part] if pieces else [part]
    return message(*pieces)
