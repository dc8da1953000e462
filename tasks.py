"""The commands: one task for each thing that an over-the-air update needs, to be called alone or chained.

``invoke all`` sets everything up, ``invoke clean`` takes it down again; put ``sandbox`` first and it happens on this
machine. A task body is one call: ``ota/conductor.py`` knows what needs what, ``ota/`` does the work.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from ota.errors import OtaError
from ota.fields import FIELDS

if TYPE_CHECKING:
    from invoke.context import Context

    from ota.conductor import Conductor

ROOT_PATH = Path(__file__).resolve().parent
JSON_HELP = "One JSON document on stdout instead of a table."


class OtaTask(Task):  # type: ignore[type-arg]
    """A task that shows what a user can cause as a sentence, and a bug as a traceback."""

    def __deepcopy__(self, _memo: object) -> OtaTask:
        """Tasks never change, and invoke copies them all before it lists them: without this, most of its time."""
        return self

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
        except KeyboardInterrupt:
            raise Exit("Interrupted. Nothing is lost: run the same command again, it carries on.", code=130) from None
        _conductor(context).wind_up()
        raise Exit(str(failure), code=failure.exit_code)


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


@task(klass=OtaTask)
def thing(c: Context) -> None:
    """Create the IoT thing, its key and certificate, and write the firmware's aws_clientcredential.h."""
    _conductor(c).thing()


@task(klass=OtaTask, pre=[thing])
def policy(c: Context) -> None:
    """Create the least-privilege IoT policy and attach it to the thing's certificate."""
    _conductor(c).policy()


@task(klass=OtaTask)
def bucket(c: Context) -> None:
    """Create the versioned, private S3 bucket for firmware images."""
    _conductor(c).bucket()


@task(klass=OtaTask)
def role(c: Context) -> None:
    """Create the IAM role that the OTA service assumes, with prefix and permissions boundary."""
    _conductor(c).role()


@task(klass=OtaTask, pre=[thing])
def build(c: Context) -> None:
    """Run the firmware's own build script, from clean where the header or the certificate is newer than the image."""
    _conductor(c).build()


@task(klass=OtaTask)
def head_start(c: Context) -> None:
    """Begin what an update needs and nothing else waits for; its own tasks report it."""
    _conductor(c).head_start()


@task(klass=OtaTask, pre=[head_start, policy, bucket, role, build])
def update(c: Context) -> None:
    """Prove the signature, upload the image, create the OTA update and wait until its job exists."""
    _conductor(c).update()


@task(klass=OtaTask, name="all", pre=[update])
def all_(c: Context) -> None:
    """Set up everything above, then sum it up."""
    _conductor(c).summary()


@task(
    klass=OtaTask,
    help={
        "force": "Delete what has these names even where this tool did not make it.",
        "local": "Delete the key and certificate files in credentials_path too.",
    },
)
def clean(c: Context, force: bool = False, local: bool = False) -> None:
    """Tear down what the tasks made, in the one safe order, and prove that nothing is left."""
    _conductor(c).clean(force=force, local=local)


@task(klass=OtaTask, name="start", default=True)
def sandbox_start(c: Context) -> None:
    """Use the local stand-in for AWS for the rest of the command line; started when it is not running."""
    _conductor(c).scope.use_sandbox()


@task(klass=OtaTask, name="stop")
def sandbox_stop(c: Context) -> None:
    """Stop the local stand-in; what it holds is gone, the files in .sandbox/ stay."""
    _conductor(c).scope.stop_sandbox()


@task(klass=OtaTask, name="reset")
def sandbox_reset(c: Context) -> None:
    """Empty the local stand-in and delete the files in .sandbox/ that the tasks made there."""
    _conductor(c).scope.reset_sandbox()


@task(klass=OtaTask, name="env")
def sandbox_env(c: Context) -> None:
    """Print the export lines that point any other AWS tool at the local stand-in."""
    _conductor(c).scope.show_sandbox_environment()


def with_(c: Context, config_file: str | None = None, **values: str | None) -> None:
    """Change settings for the rest of the command line: invoke with --thing-name lamp-2 all."""
    given = {name: value for name, value in values.items() if value is not None}
    _conductor(c).scope.override(given, config_file)


def _settings_task() -> OtaTask:
    """The task ``with``: a flag for each setting, from the table of settings."""
    flags = ["config_file", *(field.name for field in FIELDS)]
    optional = [inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=None) for flag in flags]
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with_.__signature__ = inspect.Signature([context, *optional])  # type: ignore[attr-defined]
    texts = {"config_file": "Settings file to read instead of config.json."}
    texts |= {field.name: field.help for field in FIELDS}
    return OtaTask(with_, name="with", help=texts, auto_shortflags=False)


@task(klass=OtaTask, help={"json": JSON_HELP})
def settings(c: Context, json: bool = False) -> None:
    """Show every setting, its value, and where that came from."""
    _conductor(c).scope.show_settings(as_json=json)


namespace = Collection(thing, policy, bucket, role, build, update, all_, clean, settings, _settings_task())
namespace.add_collection(
    Collection("sandbox", sandbox_start, sandbox_stop, sandbox_reset, sandbox_env),
)
