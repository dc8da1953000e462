"""The tasks of the command line: each can be called alone, or several in one command.

``invoke all`` sets up everything that an over-the-air update needs, and ``invoke clean`` deletes it again. After
``sandbox`` the rest of the command line works on this machine. A task body is one call into a room of ``ota/`` with the
run of this command line; ``docs/architecture.md`` describes the rooms.
"""

from __future__ import annotations

import copy
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import Call, Task, task

if TYPE_CHECKING:
    from invoke.config import Config
    from invoke.context import Context
    from invoke.parser import ParseResult

    from ota.errors import OtaError
    from ota.run import Run
    from ota.set_up import SetUp

# Invoke turns this off to leave no cache beside a task file, but compiling ota/ again takes a quarter of each run.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

# Imported after that line, so that their compiled code is kept between runs.
from ota.nouns import LISTED, NOUN_BY_NAME, NOUNS  # noqa: E402
from ota.records import Deleted  # noqa: E402
from ota.settings.table import SETTINGS  # noqa: E402

ROOT_PATH = Path(__file__).resolve().parent
RUN = "ota_run"  # the key in invoke's configuration; `run` is invoke's own
JSON_HELP = "One JSON document on stdout instead of a table."


class OtaTask(Task):  # type: ignore[type-arg]
    """A task that prints an error that a user can cause as a message, and a bug as a traceback.

    Before the first task runs, the order of the tasks on the command line is checked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.body is not read_line:
            self.pre: list[Any] = [ORDER_CHECK, *self.pre]

    def __deepcopy__(self, _memo: object) -> OtaTask:
        """A copy with its own help texts, which invoke empties; a full copy takes most of the time of ``--list``."""
        clone = copy.copy(self)
        clone.help = dict(self.help)
        return clone

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
            raise Exit("Interrupted. Nothing is lost: run the same command again, it carries on.", code=130) from None
        if RUN not in context.config:  # making the run has failed
            raise Exit(str(failure), code=failure.exit_code)
        run = _run(context)
        run.steps.wind_up()
        raise Exit(run.report.text(failure.message), code=failure.exit_code)


def _our_error() -> type[OtaError]:
    """The base of our errors, imported only when something was raised, so that listing the tasks is quick."""
    from ota.errors import OtaError

    return OtaError


def _aws_errors() -> tuple[type[Exception], ...]:
    """The exceptions of botocore, imported only when something was raised, so that listing the tasks is quick."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def _run(context: Context) -> Run:
    """The run of this command line, made on first use and kept in invoke's configuration for the next tasks."""
    if RUN not in context.config:
        from ota.run import Run

        context.config.update({RUN: Run(ROOT_PATH)})
    return cast("Run", context.config[RUN])


def _set_up(context: Context) -> SetUp:
    """The set-up of this command line; it keeps its results in the run."""
    from ota.set_up import SetUp

    return SetUp(_run(context))


class WholeLine(Call):
    """The call of a task that gets the result of invoke's core parser as ``context.core``."""

    def make_context(self, config: Config, core_parse_result: ParseResult) -> Context:
        """The usual context with the core parser's result in it."""
        context = super().make_context(config, core_parse_result)
        context._set(core=core_parse_result)
        return context


def read_line(c: Context) -> None:
    """Refuse `sandbox` and `with` after a task that would run without them."""
    from ota.task_order import check_order

    check_order(namespace, c.core, is_sandbox=_run(c).scope.is_sandbox)


ORDER_CHECK = WholeLine(OtaTask(read_line))


@task(klass=OtaTask)
def thing(c: Context) -> None:
    """Create the IoT thing, its key and certificate, and write the firmware's aws_clientcredential.h."""
    _set_up(c).thing()


@task(klass=OtaTask, pre=[thing])
def policy(c: Context) -> None:
    """Create the least-privilege IoT policy and attach it to the thing's certificate."""
    _set_up(c).policy()


@task(klass=OtaTask)
def bucket(c: Context) -> None:
    """Create the versioned, private S3 bucket for firmware images."""
    _set_up(c).independent("bucket")


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


@task(klass=OtaTask, pre=[head_start, policy, bucket, role, build])
def update(c: Context) -> None:
    """Prove the signature, upload the image, create the OTA update and wait until its job exists."""
    from ota.look.summaries import show_update

    show_update(_run(c), _set_up(c).offer())


@task(klass=OtaTask, name="all", pre=[update])
def all_(c: Context) -> None:
    """Set up everything that an update needs, then sum it up."""
    from ota.look.summaries import show_summary

    show_summary(_run(c), _set_up(c).everything())


@task(
    klass=OtaTask,
    help={
        "force": "Delete what has these names even where this tool did not make it.",
        "local": "Delete the key and certificate files in credentials_path too.",
        "all_certificates": "Clean every thing that has a certificate in credentials_path.",
        "plan": "Only show what would be deleted; exit status 1 where something would stay that must not.",
        "json": "With --plan: one JSON document on stdout instead of a table.",
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

        show_teardown_plan(_run(c), force=force, local=local, as_json=json)
        return
    from ota.device.rehearsals import take_down
    from ota.teardown.clean import clean as tear_down

    flags = {"force": force, "local": local, "all_certificates": all_certificates}
    tear_down(_run(c), **flags, take_down_rehearsals=take_down)


@task(klass=OtaTask, help={"json": JSON_HELP})
def plan(c: Context, json: bool = False) -> None:
    """Show object by object what `all` would do, and change nothing; exit status 1 where `all` would fail."""
    from ota.look.looks import show_plan

    show_plan(_run(c), as_json=json)


@task(klass=OtaTask, help={"json": JSON_HELP})
def status(c: Context, json: bool = False) -> None:
    """Show how the thing and its update stand; exit status 0 done, 2 not set up, 3 in progress, 4 failed, 5 unknown."""
    from ota.look.looks import show_status

    show_status(_run(c), as_json=json)


@task(klass=OtaTask, help={"timeout": "Seconds until it gives up: --timeout=600 (default: 3600).", "json": JSON_HELP})
def watch(c: Context, timeout: str = "3600", json: bool = False) -> None:
    """Follow the update until every device is done; exit status 0 done, 2 no update, 3 time up, 4 failed, 5 unknown."""
    from ota.device.options import read_timeout
    from ota.look import looks

    looks.watch(_run(c), timeout_s=read_timeout(timeout), as_json=json)


@task(klass=OtaTask, help={"json": JSON_HELP})
def doctor(c: Context, json: bool = False) -> None:
    """Find what would make `all` fail, with the command that mends it; exit status 1 where there is something."""
    from ota.look.looks import show_checkup

    show_checkup(_run(c), as_json=json)


@task(klass=OtaTask, name="start", default=True)
def sandbox_start(c: Context) -> None:
    """Use the local stand-in for AWS for the rest of the command line; started when it is not running."""
    _run(c).scope.use_sandbox()


@task(klass=OtaTask, name="stop")
def sandbox_stop(c: Context) -> None:
    """Stop the local stand-in; what it holds is gone, the files in .sandbox/ stay."""
    _run(c).stop_sandbox()


@task(klass=OtaTask, name="reset")
def sandbox_reset(c: Context) -> None:
    """Empty the local stand-in and delete the files in .sandbox/ that the tasks made there."""
    _run(c).reset_sandbox()


@task(klass=OtaTask, name="env")
def sandbox_env(c: Context) -> None:
    """Print the export lines that point any other AWS tool at the local stand-in."""
    _run(c).scope.show_sandbox_environment()


def with_(c: Context, config_file: str | None = None, **values: str | None) -> None:
    """Change settings for the rest of the command line: `invoke with --thing-name lamp-2 all`."""
    given = {name: value for name, value in values.items() if value is not None}
    _run(c).scope.override(given, config_file)


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
    _run(c).scope.show_settings(as_json=json)


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

        run = _run(c)
        if json:
            run.report.keep_stdout_clear()
        rows = listings.read_limit(limit, run.scope.loose_settings.max_listed)
        listings.show_lists(run.cloud, run.report, noun, listings.Query(rows, filter_, is_ours=mine), as_json=json)

    body.__doc__ = sentence
    return OtaTask(body, name=name, help=LIST_HELP, default=noun == "all")


def _delete(c: Context, noun: str, names: list[str] | None, *, force: bool, prune: bool, yes: bool) -> None:
    """Delete objects of one noun by their names."""
    from ota.manage.by_hand import delete_objects
    from ota.manage.removals import Deletion

    with _run(c).deleting() as run:
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
        delete_objects(deletion, run.report, NOUN_BY_NAME[noun], names or ())


def _delete_task(noun: str, texts: Deleted) -> OtaTask:
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
    return OtaTask(chosen, name=noun, help={flag: text for flag, text in helps.items() if text}, iterable=["name"])


LIST_TASKS = (
    _list_task("all", "all", f"List everything in the account: {', '.join(noun.plural for noun in LISTED)}."),
    *(_list_task(noun.name, noun.plural, noun.listed.help) for noun in NOUNS if noun.listed),
)
DELETE_TASKS = tuple(_delete_task(noun.name, noun.deleted) for noun in NOUNS if noun.deleted)


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

    show_verification(_run(c), running_version=running_version, as_json=json)


@task(
    klass=OtaTask,
    positional=["text"],
    help={"text": "What a device, AWS or the AWS CLI said, in quotes.", "json": JSON_HELP},
)
def explain(c: Context, text: str, json: bool = False) -> None:
    """Say what a failure code, a status or an errorInfo means: `invoke explain "0x000000e3: 0x00000000"`."""
    from ota.look.explain import show

    show(_run(c).report, text, as_json=json)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "encoding": "How stream messages are written: json (as the firmware) or cbor.",
        "faithful": "Keep the firmware's limits: 2,048 bytes for the job, one block at a time, no second try.",
        "fault": "Play a device that goes wrong: bad-signature, lost-blocks, connection-lost, power-cut, "
        "same-version, rejects or times-out.",
        "forever": "Stay, and take updates as they come, until Ctrl-C or --timeout.",
        "fresh": "Begin as from the factory, with version 0.0.10+0.",
        "count": "So many devices at once, THING-1 and on; in the sandbox they and an update for them are made.",
        "timeout": "Seconds that all may take (default: 900; with --forever no end).",
        "json": JSON_HELP,
    },
)
def device(
    c: Context,
    encoding: str = "json",
    faithful: bool = False,
    fault: str = "",
    forever: bool = False,
    fresh: bool = False,
    count: int = 1,
    timeout: str = "",
    json: bool = False,
) -> None:
    """Have a virtual device take the update as the firmware would: exit status 0 once it runs it, or has no job."""
    from ota.device import runs
    from ota.device.options import read_options

    options = read_options(
        encoding=encoding,
        faithful=faithful,
        fault=fault,
        forever=forever,
        fresh=fresh,
        count=count,
        timeout=timeout,
        as_json=json,
    )
    runs.play(_run(c), options)


@task(
    klass=OtaTask,
    auto_shortflags=False,
    help={
        "for_": "Only what these tasks need: update,clean (default: all tasks).",
        "boundary": "The permissions boundary of the role instead.",
        "also": "What AWS cannot bound and is left out: instance-profiles, unbounded-roles, any-identity.",
        "things": "A pattern of thing names, such as 'lamp-*', instead of the setting thing_name.",
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
    account: str = "",
    region: str = "",
    json: bool = False,  # noqa: ARG001 - scripts say it to every task that reports
) -> None:
    """Print the IAM policy that the operator needs: `invoke permissions --for update,clean`."""
    from ota.look import permissions as operator

    flags = {"tasks": for_, "also": also, "account": account, "region": region, "things": things}
    operator.show(_run(c), operator.read_flags(**flags, boundary=boundary))


namespace = Collection(
    thing,
    policy,
    bucket,
    role,
    build,
    update,
    all_,
    clean,
    device,
    plan,
    status,
    watch,
    doctor,
    verify,
    explain,
    settings,
    permissions,
    _settings_task(),
)
namespace.add_collection(
    Collection("sandbox", sandbox_start, sandbox_stop, sandbox_reset, sandbox_env),
)
namespace.add_collection(Collection("list", *LIST_TASKS))
namespace.add_collection(Collection("delete", delete_help, *DELETE_TASKS))
