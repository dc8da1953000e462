"""The commands: one task for each thing that an over-the-air update needs, to be called alone or chained.

``invoke all`` sets everything up, ``invoke clean`` takes it down again; put ``sandbox`` first and it happens on this
machine. A task body is one call: ``ota/conductor.py`` knows what needs what, ``ota/`` does the work.
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

from ota.errors import OtaError
from ota.settings.meanings import MEANINGS

if TYPE_CHECKING:
    from invoke.config import Config
    from invoke.context import Context
    from invoke.parser import ParseResult

    from ota.conductor import Conductor

# Invoke turned this off, so that no cache is left beside a task file; compiling ota/ anew takes a quarter of each run.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

ROOT_PATH = Path(__file__).resolve().parent
JSON_HELP = "One JSON document on stdout instead of a table."


class OtaTask(Task):  # type: ignore[type-arg]
    """A task that shows what a user can cause as a sentence, and a bug as a traceback.

    Before the first of them runs, the order of the whole command line is checked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.body is not read_line:
            self.pre: list[Any] = [ORDER_CHECK, *self.pre]

    def __deepcopy__(self, _memo: object) -> OtaTask:
        """Only its help texts ever change, for invoke uses them up; copying more took most of ``--list``'s time."""
        clone = copy.copy(self)
        clone.help = dict(self.help)
        return clone

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; the one place that turns our errors and AWS's into an exit status and a message."""
        context = args[0]
        try:
            return super().__call__(*args, **kwargs)
        except OtaError as error:
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
        if "conductor" not in context.config:  # what failed is to make it
            raise Exit(str(failure), code=failure.exit_code)
        run = _conductor(context).run
        run.steps.wind_up()
        raise Exit(run.report.aimed(failure.message), code=failure.exit_code)


def _aws_errors() -> tuple[type[Exception], ...]:
    """AWS's exceptions; evaluated only when something was raised, so that listing the tasks stays quick."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def _conductor(context: Context) -> Conductor:
    """The conductor of this command line; made on first use, kept in invoke's configuration for the tasks after."""
    if "conductor" not in context.config:
        from ota.conductor import Conductor

        context.config.update(conductor=Conductor(ROOT_PATH))
    return cast("Conductor", context.config["conductor"])


class WholeLine(Call):
    """The call of a task that gets the whole command line as ``context.core``, as invoke's core parser left it."""

    def make_context(self, config: Config, core_parse_result: ParseResult) -> Context:
        """The usual context, and in it the core parser's result."""
        context = super().make_context(config, core_parse_result)
        context._set(core=core_parse_result)
        return context


def read_line(c: Context) -> None:
    """Refuse `sandbox` and `with` behind a task that would act without them."""
    from ota.task_order import check_order

    check_order(namespace, c.core, is_sandbox=_conductor(c).run.scope.is_sandbox)


ORDER_CHECK = WholeLine(OtaTask(read_line))


@task(klass=OtaTask)
def thing(c: Context) -> None:
    """Create the IoT thing, its key and certificate, and write the firmware's aws_clientcredential.h."""
    _conductor(c).set_up.thing()


@task(klass=OtaTask, pre=[thing])
def policy(c: Context) -> None:
    """Create the least-privilege IoT policy and attach it to the thing's certificate."""
    _conductor(c).set_up.policy()


@task(klass=OtaTask)
def bucket(c: Context) -> None:
    """Create the versioned, private S3 bucket for firmware images."""
    _conductor(c).set_up.bucket()


@task(klass=OtaTask)
def role(c: Context) -> None:
    """Create the IAM role that the OTA service assumes, with prefix and permissions boundary."""
    _conductor(c).set_up.role()


@task(klass=OtaTask, pre=[thing])
def build(c: Context) -> None:
    """Run the firmware's own build script, from clean where the header or the certificate is newer than the image."""
    _conductor(c).set_up.build()


@task(klass=OtaTask)
def head_start(c: Context) -> None:
    """Begin what an update needs and nothing else waits for; its own tasks report it."""
    _conductor(c).set_up.head_start()


@task(klass=OtaTask, pre=[head_start, policy, bucket, role, build])
def update(c: Context) -> None:
    """Prove the signature, upload the image, create the OTA update and wait until its job exists."""
    _conductor(c).set_up.update()


@task(klass=OtaTask, name="all", pre=[update])
def all_(c: Context) -> None:
    """Set up everything that an update needs, then sum it up."""
    _conductor(c).set_up.summary()


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

        _conductor(c).look(show_teardown_plan, as_json=json, is_forced=force, local=local)
        return
    _conductor(c).clean(force=force, local=local, all_certificates=all_certificates)


@task(klass=OtaTask, help={"json": JSON_HELP})
def plan(c: Context, json: bool = False) -> None:
    """Show object by object what `all` would do, and change nothing; exit status 1 where `all` would fail."""
    from ota.look.looks import show_plan

    _conductor(c).look(show_plan, as_json=json)


@task(klass=OtaTask, help={"json": JSON_HELP})
def status(c: Context, json: bool = False) -> None:
    """Show how the thing and its update stand; exit status 0 done, 2 not set up, 3 in progress, 4 failed, 5 unknown."""
    from ota.look.looks import show_status

    _conductor(c).look(show_status, as_json=json)


@task(klass=OtaTask, help={"timeout": "Seconds until it gives up: --timeout=600 (default: 3600).", "json": JSON_HELP})
def watch(c: Context, timeout: str = "3600", json: bool = False) -> None:
    """Follow the update until every device is done; exit status 0 done, 2 no update, 3 time up, 4 failed, 5 unknown."""
    from ota.device.options import read_timeout
    from ota.look.looks import watch

    _conductor(c).look(watch, as_json=json, timeout_s=read_timeout(timeout))


@task(klass=OtaTask, help={"json": JSON_HELP})
def doctor(c: Context, json: bool = False) -> None:
    """Find what would make `all` fail, with the command that mends it; exit status 1 where there is something."""
    _conductor(c).check_up(as_json=json)


@task(klass=OtaTask, name="start", default=True)
def sandbox_start(c: Context) -> None:
    """Use the local stand-in for AWS for the rest of the command line; started when it is not running."""
    _conductor(c).run.scope.use_sandbox()


@task(klass=OtaTask, name="stop")
def sandbox_stop(c: Context) -> None:
    """Stop the local stand-in; what it holds is gone, the files in .sandbox/ stay."""
    _conductor(c).stop_sandbox()


@task(klass=OtaTask, name="reset")
def sandbox_reset(c: Context) -> None:
    """Empty the local stand-in and delete the files in .sandbox/ that the tasks made there."""
    _conductor(c).reset_sandbox()


@task(klass=OtaTask, name="env")
def sandbox_env(c: Context) -> None:
    """Print the export lines that point any other AWS tool at the local stand-in."""
    _conductor(c).run.scope.show_sandbox_environment()


def with_(c: Context, config_file: str | None = None, **values: str | None) -> None:
    """Change settings for the rest of the command line: `invoke with --thing-name lamp-2 all`."""
    given = {name: value for name, value in values.items() if value is not None}
    _conductor(c).run.scope.override(given, config_file)


def _settings_task() -> OtaTask:
    """The task ``with``: a flag for each setting, from the table of settings."""
    flags = ["config_file", *MEANINGS]
    optional = [inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=None) for flag in flags]
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with_.__signature__ = inspect.Signature([context, *optional])  # type: ignore[attr-defined]
    texts = {"config_file": "settings file to read instead of config.json", **MEANINGS}
    return OtaTask(with_, name="with", help=texts, auto_shortflags=False)


@task(klass=OtaTask, help={"json": JSON_HELP})
def settings(c: Context, json: bool = False) -> None:
    """Show every setting, its value, and where that came from."""
    _conductor(c).run.scope.show_settings(as_json=json)


LIST_HELP = {
    "limit": "How many rows to show (default: the setting max_listed).",
    "filter_": "Only names like this, with * for any characters: 'lamp-*'.",
    "mine": "Only what this tool made.",
    "json": JSON_HELP,
}


def _list_task(plural: str, sentence: str) -> OtaTask:
    """The task that lists one noun, or all."""

    def body(c: Context, limit: str = "", filter_: str = "", mine: bool = False, json: bool = False) -> None:
        _conductor(c).show_lists(plural, limit=limit, pattern=filter_, mine=mine, as_json=json)

    body.__doc__ = sentence
    return OtaTask(body, name=plural, help=LIST_HELP, default=plural == "all")


NAME_HELP = (
    "NAME, or a pattern with * (to be confirmed); as often as you like (default: the one that the settings name)."
)
YES_HELP = "Answer yes where a pattern is to be confirmed."
PRUNE_CERTIFICATES = "Delete its certificates too, where they hang on nothing else."


def _delete_task(noun: str, sentence: str, force: str, *, name: str = NAME_HELP, prune: str = "") -> OtaTask:
    """The task that deletes objects of one noun by their names."""

    def body(
        c: Context, name: list[str] | None = None, force: bool = False, prune: bool = False, yes: bool = False
    ) -> None:
        _conductor(c).delete(noun, name or (), force=force, prune=prune, yes=yes)

    def body_without_prune(c: Context, name: list[str] | None = None, force: bool = False, yes: bool = False) -> None:
        _conductor(c).delete(noun, name or (), force=force, prune=False, yes=yes)

    chosen = body if prune else body_without_prune
    chosen.__doc__ = sentence
    texts = {"name": name, "force": force, "yes": YES_HELP, **({"prune": prune} if prune else {})}
    return OtaTask(chosen, name=noun, help=texts, iterable=["name"])


LIST_TASKS = (
    _list_task("all", "List everything in the account: things, policies, certificates, buckets, roles, updates, jobs."),
    _list_task("things", "List the IoT things, with their certificates."),
    _list_task("policies", "List the IoT policies, with what they are attached to."),
    _list_task("certificates", "List the certificates: status, expiry, and what hangs on them."),
    _list_task("buckets", "List the S3 buckets, with region and versioning."),
    _list_task("roles", "List the IAM roles, with their permissions boundaries."),
    _list_task("updates", "List the OTA updates: status, job, targets."),
    _list_task("jobs", "List the jobs, of OTA updates or not: status and targets."),
)
DELETE_TASKS = (
    _delete_task(
        "thing",
        "Delete an IoT thing by its name; its certificates stay, unless pruned.",
        "Delete it though its device is at work on an update right now; by pattern also what this tool did not make.",
        prune=PRUNE_CERTIFICATES,
    ),
    _delete_task(
        "policy",
        "Delete an IoT policy by its name, with all its versions.",
        "Detach it from what it hangs on first; by pattern also what this tool did not make.",
        prune=f"Detach it first. {PRUNE_CERTIFICATES}",
    ),
    _delete_task(
        "certificate",
        "Delete a certificate by its id.",
        "Detach it from all things and policies first; by pattern also what this tool did not make.",
        name="ID, its first 8 digits or more, its ARN, or a pattern with * (to be confirmed); as often as you like "
        "(default: the one in credentials_path).",
        prune="With --force: delete things and policies too that have no other certificate then.",
    ),
    _delete_task(
        "role",
        "Delete an IAM role by its name.",
        "Delete it with whatever is attached, and though an OTA update needs it; by pattern also what this tool did "
        "not make.",
    ),
    _delete_task(
        "bucket",
        "Delete an S3 bucket by its name.",
        "Delete it with every version of everything in it; by pattern also what this tool did not make.",
    ),
    _delete_task(
        "update",
        "Delete an OTA update by its name, with its job and stream.",
        "Delete it though devices have not finished; by pattern also what this tool did not make.",
    ),
    _delete_task(
        "job",
        "Delete a job by its id; where an OTA update made it, that stays.",
        "Delete it though devices have not finished; by pattern also what this tool did not make.",
    ),
)


@task(klass=OtaTask, name="help", default=True)
def delete_help(_c: Context) -> None:
    """Tell what can be deleted by name, and how."""
    nouns = ", ".join(f"`invoke delete.{one.name}`" for one in DELETE_TASKS)
    raise OtaError(f"Say what to delete: {nouns}. `invoke --help delete.thing` tells how; `invoke clean` deletes all.")


@task(
    klass=OtaTask,
    help={
        "running_version": "What runs on the device, as 0.0.10+0 or as the number that it reports as updatedBy.",
        "json": JSON_HELP,
    },
)
def verify(c: Context, running_version: str | None = None, json: bool = False) -> None:
    """Prove offline that image, signature, key and settings belong together and fit the firmware."""
    _conductor(c).verify(running_version=running_version, as_json=json)


@task(
    klass=OtaTask,
    positional=["text"],
    help={"text": "What a device, AWS or the AWS CLI said, in quotes.", "json": JSON_HELP},
)
def explain(c: Context, text: str, json: bool = False) -> None:
    """Say what a failure code, a status or an errorInfo means: `invoke explain "0x000000e3: 0x00000000"`."""
    _conductor(c).explain(text, as_json=json)


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
    _conductor(c).device(
        encoding=encoding,
        faithful=faithful,
        fault=fault,
        forever=forever,
        fresh=fresh,
        count=count,
        timeout=timeout,
        as_json=json,
    )


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
    _conductor(c).permissions(tasks=for_, also=also, account=account, region=region, things=things, boundary=boundary)


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
