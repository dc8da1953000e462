"""Checks before the first task runs that `sandbox` and `with` come before the tasks that they apply to.

Invoke runs the tasks of a command line one by one, so `invoke bucket sandbox` would make the bucket in the real
account before it reaches `sandbox`. Every task therefore has a pre-task that reads the whole line. Invoke passes the
words that it has not parsed yet, the tasks and their flags, to ``Call.make_context``; here they are parsed again.

Source: invoke 3.0, ``Executor.execute``, ``Call.make_context``, ``Program.parse_core_args`` (``ParseResult.unparsed``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invoke.exceptions import ParseError

from ota.errors import OtaError
from ota.messages import Command

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser import ParseResult
    from invoke.parser.argument import Argument
    from invoke.parser.context import ParserContext

SANDBOX = ("sandbox", "sandbox.start")
OPENERS = (*SANDBOX, "with")
JSON_FLAGS = {"--json", "-j"}
# These need neither settings nor an AWS account, so `sandbox` and `with` may come after them.
INDEPENDENT = ("sandbox.stop", "sandbox.reset", "sandbox.env", "explain")


@dataclass(frozen=True)
class Given:
    """One task on a command line.

    Attributes:
        name: without the namespace, where it is one of this tool's.
        words: the words that call it, the name first.
        is_ours: whether it is one of this tool's.
    """

    name: str
    words: tuple[str, ...]
    is_ours: bool = True


def check_order(collection: Collection, core: ParseResult, *, namespace: str, is_sandbox: bool) -> None:
    """Refuse a command line with a task before `sandbox` or `with` that needs them.

    Args:
        collection: all tasks.
        core: the core parser's result; its ``unparsed`` words are the tasks.
        namespace: what stands before the names of this tool's tasks in the collection, such as ``ota.``.
        is_sandbox: whether the command line talks to the sandbox anyway.

    Raises:
        OtaError: with the whole line in the right order.
    """
    has_opener = any(f"{namespace}{opener}" in core.unparsed for opener in OPENERS)
    given = read_tasks(collection, core, namespace) if has_opener else []
    late = find_late(given, is_sandbox=is_sandbox)
    if late:
        words = tuple(one.words for one in in_order(given))
        foreign = frozenset(one.name for one in given if not one.is_ours)
        in_right_order = Command(words, options=tuple(_core_words(core)), foreign=foreign)
        raise OtaError(
            f"`{namespace}{late.words[0]}` comes first, before the tasks that are to use it. Nothing was done. "
            "The same in the right order: ",
            in_right_order,
            ".",
        )


def asks_for_json(core: ParseResult) -> bool:
    """Whether a task of the command line is to print a JSON document."""
    return not JSON_FLAGS.isdisjoint(core.unparsed)


def read_tasks(collection: Collection, core: ParseResult, namespace: str) -> list[Given]:
    """The tasks on the command line, in order; none where the collection does not have them all."""
    from invoke.parser import Parser
    from invoke.program import Program

    parser = Parser(initial=Program().initial_context, contexts=collection.to_contexts(ignore_unknown_help=True))
    try:
        _, *tasks = parser.parse_argv(core.unparsed)
    except ParseError:
        return []
    return [_given(one, namespace) for one in tasks]


def find_late(given: Sequence[Given], *, is_sandbox: bool) -> Given | None:
    """The first `sandbox` or `with` that comes after a task that would have run without it."""
    has_acted = False
    for one in given:
        if not one.is_ours:
            continue
        is_change = one.name in OPENERS and not (one.name in SANDBOX and is_sandbox)
        if is_change and has_acted:
            return one
        is_sandbox = is_sandbox or one.name in SANDBOX
        has_acted = has_acted or one.name not in (*OPENERS, *INDEPENDENT)
    return None


def in_order(given: Sequence[Given]) -> list[Given]:
    """The tasks in the right order: `sandbox` once, then every `with`, then the others in their order."""
    sandbox = [one for one in given if one.is_ours and one.name in SANDBOX][:1]
    settings = [one for one in given if one.is_ours and one.name == "with"]
    others = [one for one in given if not (one.is_ours and one.name in OPENERS)]
    return [*sandbox, *settings, *others]


def _given(context: ParserContext, namespace: str) -> Given:
    typed = str(context.name)
    is_ours = typed.startswith(namespace)
    name = typed.removeprefix(namespace)
    called = SANDBOX[0] if is_ours and name in SANDBOX else name
    return Given(name, (called, *(word for one in _arguments(context) for word in _words(one))), is_ours)


def _core_words(core: ParseResult) -> list[str]:
    """Invoke's own flags, those before the first task."""
    return [word for one in _arguments(core[0]) for word in _words(one)] if core else []


def _arguments(context: ParserContext) -> list[Argument]:
    """Every argument once, the positional ones first."""
    by_id: dict[int, Argument] = {id(one): one for one in context.args.values()}
    return sorted(by_id.values(), key=lambda one: not one.positional)


def _words(argument: Argument) -> Iterator[str]:
    """The words that give the argument; none where it was not given."""
    if not argument.got_value:
        return
    flag = _flag(argument)
    values: list[Any] = argument.value if argument.kind is list else [argument.value]
    for value in values:
        if argument.positional:
            yield str(value)
        elif argument.kind is bool:
            yield flag if value else f"--no-{flag.removeprefix('--')}"
        elif argument.incrementable:
            yield from [flag] * int(value)
        else:
            yield f"{flag}={value}"


def _flag(argument: Argument) -> str:
    longest = max(argument.names, key=len).replace("_", "-")
    return f"--{longest}" if len(longest) > 1 else f"-{longest}"
