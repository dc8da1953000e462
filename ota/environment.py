"""Read ``.env`` into the environment, and find mistakes in the AWS variables that boto3 reports badly.

The build script is the firmware project's program, often with third-party code in it, and needs no AWS account. So it
gets the environment of the user's shell without the variables that are meant for this tool.

Source: boto3's guide to credentials; AWS STS (temporary keys begin with ASIA); python-dotenv.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ota.errors import CredentialsError, Problem, SettingsError
from ota.messages import command

# Variables of AWS's tools, credentials above all, and of this tool.
OWN_PREFIXES = ("AWS_", "OTA_")
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
URL_SHAPE = re.compile(r"https?://(\[[0-9a-fA-F:.]+\](:\d+)?|[^/\s\[\]]+)(/|$)")
REGION_SHAPE = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")


def load_environment(root_path: Path) -> frozenset[str]:
    """Add the variables of ``.env`` in ``root_path`` to the process environment; existing variables stay.

    Returns:
        the names of the variables that it added.

    Raises:
        SettingsError: the file cannot be read, or a line of it is not a variable.
    """
    from dotenv import load_dotenv
    from dotenv.parser import parse_stream

    path = root_path / ".env"
    if not path.is_file():
        return frozenset()
    before = frozenset(os.environ)
    try:
        with path.open(encoding="utf-8") as file:
            lines = [binding.original.line for binding in parse_stream(file) if binding.error]
        if lines:
            hint = "write NAME=value, with both quotes or none"
            raise SettingsError([Problem(f"{path}, line {line}: {hint}") for line in lines])
        load_dotenv(path, override=False)
    except ValueError as error:  # bytes that are not text, or a name or value that no environment can hold
        said = f"{path} cannot be used ({error}): save it as UTF-8 text"
        raise SettingsError([Problem(said)]) from error
    except OSError as error:
        said = f"{path} cannot be read ({error.strerror}): make it readable, or move it away"
        raise SettingsError([Problem(said)]) from error
    return frozenset(os.environ) - before


def build_environment(
    environ: Mapping[str, str], *, from_file: Collection[str], passed_on: Collection[str]
) -> dict[str, str]:
    """The variables that the build script gets: the shell's, without those for AWS and for this tool.

    Args:
        environ: the process environment, with the variables of ``.env``.
        from_file: the names that ``.env`` added; the script does not get them.
        passed_on: names that the script gets all the same; a name that is not set is ignored.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in passed_on or not (name.startswith(OWN_PREFIXES) or name in from_file)
    }


def check_pairs(environ: Mapping[str, str]) -> None:
    """Refuse an access key that is not complete.

    Raises:
        CredentialsError: a part of it is missing.
    """
    key = environ.get("AWS_ACCESS_KEY_ID", "")
    secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if bool(key) != bool(secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        present = "AWS_ACCESS_KEY_ID" if key else "AWS_SECRET_ACCESS_KEY"
        raise CredentialsError(
            f"AWS credentials are half set: {present} is there and {missing} is not. "
            "Set both, in .env or in the environment, or neither and use AWS_PROFILE."
        )
    if key.startswith("ASIA") and not environ.get("AWS_SESSION_TOKEN"):
        raise CredentialsError(
            "AWS_ACCESS_KEY_ID begins with ASIA, so it is a temporary key and needs its AWS_SESSION_TOKEN: "
            "copy all three values again, into .env or into the environment."
        )


def checked_region(region: str | None) -> str:
    """The region, after a check of its form.

    Raises:
        CredentialsError: it has not the form of a region, or it is not set.
    """
    if not region:
        raise CredentialsError(
            "No AWS region is set: write AWS_REGION=eu-west-1 (or yours) into .env, "
            "or set a region in your AWS profile."
        )
    if not REGION_SHAPE.fullmatch(region):
        is_zone = REGION_SHAPE.fullmatch(region[:-1])
        raise CredentialsError(
            f"{region!r} is not an AWS region: AWS_REGION must be a name like eu-west-1 or us-east-1, "
            "without an availability zone's letter.",
            remedy=command("all").with_variables(AWS_REGION=region[:-1]) if is_zone else (),
        )
    return region


def checked_endpoint(environ: Mapping[str, str]) -> str | None:
    """The endpoint for every service, None for AWS's own; the endpoints of single services are checked too.

    Raises:
        CredentialsError: one is not a URL, or would send calls over the network unencrypted.
    """
    for name, url in environ.items():
        if url and (name == ENDPOINT_VARIABLE or name.startswith(f"{ENDPOINT_VARIABLE}_")):
            if not URL_SHAPE.match(url):
                raise CredentialsError(
                    f"{name} is {url!r}, which is not a URL: write one such as http://127.0.0.1:5000, "
                    "or unset it to reach AWS itself."
                )
            check_encrypted(url, name)
    return environ.get(ENDPOINT_VARIABLE) or None


def check_encrypted(url: str, whence: str) -> None:
    """Refuse a URL over which calls would leave this machine unencrypted; ``whence`` names where it is written.

    Raises:
        CredentialsError: it is such a URL; nothing was sent.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise CredentialsError(
            f"{whence} is {parts.scheme}://{parts.hostname}: anybody on the network can read and change calls over "
            "http, so http is allowed on this machine only (127.0.0.1, localhost). Nothing was sent: write an "
            f"https:// URL into {whence}."
        )


def _is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine: localhost, a name under it, or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
