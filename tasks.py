"""The tasks of the command line: each can be called alone, or several in one command.

``invoke all`` sets up everything that an over-the-air update needs, and ``invoke clean`` deletes it again. After
``sandbox`` the rest of the command line works on this machine. A task body is one call into a room of ``ota/`` with the
run of this command line; ``docs/architecture.md`` describes the rooms.

An installed package has this file as ``ota.tasks``, with ``env.example`` beside it: for the program ``ota``, and for
task files of others, which add ``namespace`` to their own.
"""

from __future__ import annotations

import gc
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.tasks import Task, task

if TYPE_CHECKING:
    from invoke.context import Context

    from ota.set_up import SetUp

# Invoke turns this off to leave no cache beside a task file, but compiling ota/ again takes a quarter of each run.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
# A command imports much and leaves hardly any garbage; looking for it as often as by default takes a tenth of a run.
gc.set_threshold(20_000, 20, 20)

# Imported after these lines, so that their compiled code is kept between runs.
from ota.entry.task_class import MessageTask, WholeLine, begin, entry_of, keep_compiled, run_of  # noqa: E402
from ota.nouns import LISTED, NOUNS, UPDATE  # noqa: E402
from ota.records import Deleted, Noun  # noqa: E402
from ota.settings.table import SETTINGS  # noqa: E402

ENVIRONMENT_EXAMPLE_PATH = Path(__file__).resolve().with_name("env.example")
JSON_HELP = "One JSON document on stdout instead of a table."
CSV_HELP = "A row for each device on stdout: name, status, times, cause."
FAILED_HELP = "Every device that failed, by its name; with --csv, these alone."


class OtaTask(MessageTask):
    """A task of this tool: before the first one runs, the whole command line is read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pre: list[Any] = [READ_LINE, *self.pre]


def _set_up(context: Context) -> SetUp:
    """The set-up of this command line; it keeps its results in the run."""
    from ota.set_up import SetUp

    return SetUp(run_of(context))


def read_line(c: Context) -> None:
    """Refuse `sandbox` and `with` after a task that would run without them; keep stdout for JSON where it is asked for.

    The whole line is read, because the tasks that a task needs first run, and print, before it sees its own flags.
    """
    from ota.task_order import asks_for_json, check_order

    entry = begin(c, namespace)
    if asks_for_json(c.core):
        run_of(c).report.expect_document()
    check_order(entry.collection, c.core, namespace=entry.line.namespace, is_sandbox=run_of(c).scope.is_sandbox)


READ_LINE = WholeLine(MessageTask(read_line))


@task(klass=OtaTask, name="help", default=True)
def show_tasks(c: Context) -> None:
    """Show the tasks, as a command line without a task does."""
    from ota.messages import help_command, message

    report, typed = run_of(c).report, entry_of(c).line.namespace
    rows = [(f"{typed}{(*short, name)[0]}", _sentence(namespace[name])) for name, short in namespace.task_names.items()]
    report.table(("task", "does"), rows)
    report.say(message(help_command("all"), " explains one."))


def _sentence(one: Task[Any]) -> str:
    return (one.__doc__ or "").splitlines()[0]


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "thing_name": "The setting thing_name.",
        "firmware_root": "The setting firmware_root: where the firmware tree is from here.",
    },
)
def init(c: Context, thing_name: str = "", firmware_root: str = "") -> None:
    """Write config.json and .env to start with; asks on a terminal, and what is there stays as it is."""
    from ota.entry.project_files import start_project

    given = {"thing_name": thing_name, "firmware_root": firmware_root}
    start_project(run_of(c).report, ENVIRONMENT_EXAMPLE_PATH, entry_of(c).new_project_path, given)


@task(klass=OtaTask)
def thing(c: Context) -> None:
    """Create the IoT thing, its key and certificate, and write the firmware's aws_clientcredential.h."""
    _set_up(c).thing()


@task(klass=OtaTask, pre=[thing])
def policy(c: Context) -> None:
    """Create the least-privilege IoT policy and attach it to the thing's certificate."""
    _set_up(c).policy()


def _make_task(noun: Noun) -> OtaTask:
    """The task that makes the object of a noun that needs nothing of another one."""

    def body(c: Context) -> None:
        _set_up(c).independent(noun.name)

    body.__doc__ = noun.made
    return OtaTask(body, name=noun.task)


MAKE_TASKS = {noun.task: _make_task(noun) for noun in NOUNS if noun.make}
MADE_FOR_UPDATE = [MAKE_TASKS[need] for need in UPDATE.needs if need in MAKE_TASKS]


@task(klass=OtaTask)
def role(c: Context) -> None:
    """Create the IAM role that the OTA service assumes, with prefix and permissions boundary."""
    _set_up(c).role()


@task(klass=OtaTask, pre=[thing])
def build(c: Context) -> None:
    """Run the firmware's own build script, from clean where the header or the certificate is newer than the image."""
    _set_up(c).build()


@task(klass=OtaTask)
def head_start(c: Context) -> None:
    """Begin what an update needs and nothing else waits for; its own tasks report it."""
    _set_up(c).head_start()


@task(klass=OtaTask, pre=[head_start, policy, *MADE_FOR_UPDATE, role, build])
def update(c: Context) -> None:
    """Prove the signature, upload the image, create the OTA update and wait until its job exists."""
    from ota.look.summaries import show_update

    show_update(run_of(c), _set_up(c).offer())


@task(klass=OtaTask, name="all", pre=[update], help={"json": JSON_HELP})
def all_(c: Context, json: bool = False) -> None:
    """Set up everything that an update needs, then sum it up."""
    from ota.look.summaries import show_summary

    show_summary(run_of(c), _set_up(c).everything(), as_json=json)


@task(
    klass=OtaTask,
    help={
        "force": "Delete what has these names even where this tool did not make it.",
        "local": "Delete the key and certificate files in credentials_path too.",
        "all_certificates": "Clean every thing that has a certificate in credentials_path.",
        "plan": "Only show what would be deleted; exit status 1 where something would stay that must not.",
        "json": JSON_HELP,
    },
)
def clean(
    c: Context,
    force: bool = False,
    local: bool = False,
    all_certificates: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Tear down what the tasks made, in the one safe order, and prove that nothing is left."""
    if plan:
        from ota.look.looks import show_teardown_plan

        show_teardown_plan(run_of(c), force=force, local=local, as_json=json)
        return
    from ota.fleet.cleaning import Cleaning
    from ota.teardown.clean import clean as tear_down

    tear_down(run_of(c), force=force, local=local, all_certificates=all_certificates, make_fleet=Cleaning)
    if json:
        run_of(c).report.success()


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={"markdown": "A table in Markdown, for a comment on a pull request.", "json": JSON_HELP},
)
def plan(c: Context, markdown: bool = False, json: bool = False) -> None:
    """Show object by object what `all` would do, and change nothing; exit status 1 where `all` would fail."""
    from ota.look.looks import show_plan

    show_plan(run_of(c), as_json=json, as_markdown=markdown)


@task(
    klass=OtaTask,
    help={"failed": FAILED_HELP, "csv": CSV_HELP, "json": JSON_HELP},
)
def status(c: Context, failed: bool = False, csv: bool = False, json: bool = False) -> None:
    """Show how the thing and its update stand; exit status 0 done, 2 not set up, 3 in progress, 4 failed, 5 unknown."""
    from ota.look.forms import read_forms
    from ota.look.looks import show_status

    show_status(run_of(c), read_forms(as_json=json, as_csv=csv, all_failed=failed))


@task(
    klass=OtaTask,
    help={
        "timeout": "Seconds until it gives up: --timeout=600 (default: 3600).",
        "report": "Write a report of the rollout when it ends or is stopped: --report rollout.html.",
        "failed": FAILED_HELP,
        "csv": CSV_HELP,
        "json": JSON_HELP,
    },
)
def watch(
    c: Context, timeout: str = "3600", report: str = "", failed: bool = False, csv: bool = False, json: bool = False
) -> None:
    """Follow the update until every device is done; exit status 0 done, 2 no update, 3 time up, 4 failed, 5 unknown."""
    from ota.device.options import read_timeout
    from ota.look import looks
    from ota.look.forms import read_forms

    forms = read_forms(as_json=json, as_csv=csv, all_failed=failed, report=report)
    looks.watch(run_of(c), timeout_s=read_timeout(timeout), forms=forms)


@task(klass=OtaTask, help={"json": JSON_HELP})
def doctor(c: Context, json: bool = False) -> None:
    """Find what would make `all` fail, with the command that mends it; exit status 1 where there is something."""
    from ota.look.looks import show_checkup

    show_checkup(run_of(c), as_json=json)


@task(klass=OtaTask, name="start", default=True)
def sandbox_start(c: Context) -> None:
    """Use the local stand-in for AWS for the rest of the command line; started when it is not running."""
    run_of(c).scope.use_sandbox()


@task(klass=OtaTask, name="stop")
def sandbox_stop(c: Context) -> None:
    """Stop the local stand-in; what it holds is gone, the files in .sandbox/ stay."""
    run_of(c).stop_sandbox()


@task(klass=OtaTask, name="reset")
def sandbox_reset(c: Context) -> None:
    """Empty the local stand-in and delete the files in .sandbox/ that the tasks made there."""
    run_of(c).reset_sandbox()


@task(klass=OtaTask, name="env")
def sandbox_env(c: Context) -> None:
    """Print the export lines that point any other AWS tool at the local stand-in."""
    run_of(c).scope.show_sandbox_environment()


def with_(c: Context, config_file: str | None = None, **values: str | None) -> None:
    """Change settings for the rest of the command line, each with its flag, such as --thing-name lamp-2."""
    given = {name: value for name, value in values.items() if value is not None}
    run_of(c).scope.override(given, config_file)


def _settings_task() -> OtaTask:
    """The task ``with``: a flag for each setting, from the table of settings."""
    flags = ["config_file", *SETTINGS]
    optional = [inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=None) for flag in flags]
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with_.__signature__ = inspect.Signature([context, *optional])  # type: ignore[attr-defined]
    meanings = {name: row.meaning for name, row in SETTINGS.items()}
    texts = {"config_file": "settings file to read instead of config.json", **meanings}
    return OtaTask(with_, name="with", help=texts, auto_shortflags=False)


@task(klass=OtaTask, help={"json": JSON_HELP})
def settings(c: Context, json: bool = False) -> None:
    """Show every setting, its value, and where that came from."""
    run_of(c).scope.show_settings(as_json=json)


LIST_HELP = {
    "limit": "How many rows to show (default: the setting max_listed).",
    "filter_": "Only names like this, with * for any characters: 'lamp-*'.",
    "mine": "Only what this tool made.",
    "json": JSON_HELP,
}
YES_HELP = "Delete what a pattern matches without asking."


def _list_task(noun: str, name: str, sentence: str) -> OtaTask:
    """The task that lists one noun, or all."""

    def body(c: Context, limit: str = "", filter_: str = "", mine: bool = False, json: bool = False) -> None:
        from ota.manage import listings

        run = run_of(c)
        if json:
            run.report.keep_stdout_clear()
        rows = listings.read_limit(limit, run.scope.loose_settings.max_listed)
        listings.show_lists(run.cloud, run.report, noun, listings.Query(rows, filter_, is_ours=mine), as_json=json)

    body.__doc__ = sentence
    return OtaTask(body, name=name, help=LIST_HELP, default=noun == "all")


def _delete(c: Context, noun: Noun, names: list[str] | None, *, force: bool, prune: bool, yes: bool) -> None:
    """Delete objects of one noun by their names."""
    from ota.manage.by_hand import delete_objects
    from ota.manage.removals import Deletion

    with run_of(c).deleting() as run:
        settings = run.loose_settings
        deletion = Deletion(
            run.cloud,
            settings,
            run.patience_to_delete(),
            run.report.note,
            is_forced=force or settings.force_delete,
            prunes=prune,
            is_confirmed=yes,
        )
        delete_objects(deletion, run.report, noun, names or ())


def _delete_task(noun: Noun, texts: Deleted) -> OtaTask:
    """The task that deletes objects of one noun by their names."""

    def body(
        c: Context, name: list[str] | None = None, force: bool = False, prune: bool = False, yes: bool = False
    ) -> None:
        _delete(c, noun, name, force=force, prune=prune, yes=yes)

    def body_without_prune(c: Context, name: list[str] | None = None, force: bool = False, yes: bool = False) -> None:
        _delete(c, noun, name, force=force, prune=False, yes=yes)

    chosen = body if texts.prune_help else body_without_prune
    chosen.__doc__ = texts.help
    helps = {"name": texts.name_help, "force": texts.force_help, "prune": texts.prune_help, "yes": YES_HELP}
    return OtaTask(
        chosen, name=noun.delete_task, help={flag: text for flag, text in helps.items() if text}, iterable=["name"]
    )


LIST_TASKS = (
    _list_task("all", "all", f"List everything in the account: {', '.join(noun.plural for noun in LISTED)}."),
    *(_list_task(noun.name, noun.list_task, noun.listed.help) for noun in NOUNS if noun.listed),
)
DELETE_TASKS = tuple(_delete_task(noun, noun.deleted) for noun in NOUNS if noun.deleted)


@task(klass=OtaTask, name="help", default=True)
def delete_help(_c: Context) -> None:
    """Say what can be deleted by name, and how."""
    from ota.errors import OtaError
    from ota.messages import command, help_command

    tasks = [piece for one in DELETE_TASKS for piece in (", ", command(f"delete.{one.name}"))][1:]
    how, everything = help_command("delete.thing"), command("clean")
    raise OtaError("Say what to delete: ", *tasks, ". ", how, " tells how; ", everything, " deletes all.")


@task(
    klass=OtaTask,
    help={
        "running_version": "What runs on the device, as 0.0.10+0 or as the number that it reports as updatedBy.",
        "json": JSON_HELP,
    },
)
def verify(c: Context, running_version: str | None = None, json: bool = False) -> None:
    """Prove offline that image, signature, key and settings belong together and fit the firmware."""
    from ota.look.looks import show_verification

    show_verification(run_of(c), running_version=running_version, as_json=json)


@task(
    klass=OtaTask,
    positional=["text"],
    help={"text": "What a device, AWS or the AWS CLI said, in quotes.", "json": JSON_HELP},
)
def explain(c: Context, text: str, json: bool = False) -> None:
    """Say what a failure code, a status or an errorInfo means, such as "0x000000e3: 0x00000000"."""
    from ota.look.explain import show

    show(run_of(c).report, text, as_json=json)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "encoding": "How stream messages are written: json (as the firmware) or cbor.",
        "faithful": "Keep the firmware's limits: 2,048 bytes for the job, one block at a time, no second try.",
        "fault": "Play a device that goes wrong: bad-signature, lost-blocks, connection-lost, power-cut, "
        "same-version, rejects or times-out; with --count a share of them, as NAME:5%. Can be repeated.",
        "forever": "Stay, and take updates as they come, until Ctrl-C or --timeout.",
        "fresh": "Begin as from the factory, with version 0.0.10+0.",
        "count": "So many registered devices; in the sandbox they and an update for them are made where none are.",
        "timeout": "Seconds that all may take (default: 900; with --forever no end).",
        "json": JSON_HELP,
    },
    iterable=["fault"],
)
def device(
    c: Context,
    encoding: str = "json",
    faithful: bool = False,
    fault: list[str] | None = None,
    forever: bool = False,
    fresh: bool = False,
    count: int = 1,
    timeout: str = "",
    json: bool = False,
) -> None:
    """Have a virtual device take the update as the firmware would: exit status 0 once it runs it, or has no job."""
    from ota.device.many_runs import play
    from ota.device.options import read_options

    options = read_options(
        encoding=encoding,
        faithful=faithful,
        faults=fault or (),
        forever=forever,
        fresh=fresh,
        count=count,
        timeout=timeout,
        as_json=json,
    )
    play(run_of(c), options)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "file": "The list of devices: CSV with a header line, or JSON lines; thing_name, perhaps csr, and attributes.",
        "count": "In the sandbox: make up a list of so many devices, THING-1 and on.",
        "json": "One JSON document on stdout.",
    },
)
def register(c: Context, file: str = "", count: int = 0, json: bool = False) -> None:
    """Register many devices from a list, such as --file=devices.csv; each gets a thing and a certificate."""
    from ota.fleet.register import register as register_devices

    register_devices(run_of(c), file=file, count=count, as_json=json)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    iterable=["add", "remove"],
    help={
        "add": "Things that join: a name, or a pattern such as 'lamp-*' of things that this tool made; repeatable.",
        "remove": "Things that leave: a name, or a pattern of members; repeatable.",
        "file": "A list of things that join, as `register` takes it.",
        "json": JSON_HELP,
    },
)
def group(
    c: Context, add: list[str] | None = None, remove: list[str] | None = None, file: str = "", json: bool = False
) -> None:
    """Make the thing group of thing_group_name, and add things to it or take some out: `--add 'lamp-*'`."""
    from ota.fleet.grouping import change_group

    change_group(run_of(c), add=add or (), remove=remove or (), file=file, as_json=json)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={"force": "Take the update away from devices that are at work on it, too.", "json": JSON_HELP},
)
def cancel(c: Context, force: bool = False, json: bool = False) -> None:
    """Stop the rollout of the update: it is sent to no more devices, and what is done stays done."""
    from ota.fleet import cancelling

    cancelling.cancel(run_of(c), force=force, as_json=json)


@task(klass=OtaTask, help={"json": JSON_HELP})
def retry(c: Context, json: bool = False) -> None:
    """Send the update again, as a new one, to just those devices that did not take it."""
    from ota.fleet import retrying
    from ota.look.rollout_screens import show_failures

    retrying.retry(run_of(c), show_failures, as_json=json)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "for_": "Only what these tasks need: update,clean (default: all tasks).",
        "boundary": "The permissions boundary of the role instead.",
        "also": "What AWS cannot bound and is left out: instance-profiles, unbounded-roles, any-identity.",
        "things": "A pattern of thing names, such as 'lamp-*', instead of the setting thing_name.",
        "devices": "A pattern of the names of registered devices (default: those that begin with the thing's name).",
        "account": "The AWS account; with --region, no credentials are needed.",
        "region": "The AWS region.",
        "json": "The document is JSON in any case.",
    },
)
def permissions(
    c: Context,
    for_: str = "",
    boundary: bool = False,
    also: str = "",
    things: str = "",
    devices: str = "",
    account: str = "",
    region: str = "",
    json: bool = False,  # noqa: ARG001 - scripts say it to every task that reports
) -> None:
    """Print the IAM policy that the operator needs, for all tasks or those of --for=update,clean."""
    from ota.look import permissions as operator

    flags = {"tasks": for_, "also": also, "account": account, "region": region, "things": things, "devices": devices}
    operator.show(run_of(c), operator.read_flags(**flags, boundary=boundary))


namespace = Collection(
    init,
    thing,
    policy,
    *MAKE_TASKS.values(),
    role,
    build,
    update,
    all_,
    clean,
    device,
    register,
    group,
    cancel,
    retry,
    plan,
    status,
    watch,
    doctor,
    verify,
    explain,
    settings,
    permissions,
    _settings_task(),
    show_tasks,
)
namespace.add_collection(
    Collection("sandbox", sandbox_start, sandbox_stop, sandbox_reset, sandbox_env),
)
namespace.add_collection(Collection("list", *LIST_TASKS))
namespace.add_collection(Collection("delete", delete_help, *DELETE_TASKS))

keep_compiled(__file__)


def main() -> None:
    """Run the program ``ota``."""
    from ota.entry.program import OtaProgram

    OtaProgram(namespace).run()
