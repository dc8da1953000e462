"""Who a device is and where its cloud is: the files that prove its name, and the endpoint in the firmware's header.

That the header is right is part of the proof. In sandbox scope the endpoint in the header has to be the one that the
sandbox gives, and is then looked for on this machine.

Source: ``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (client id and endpoint come from the header).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ota import keys
from ota.certificate_files import CertificateFiles, find_certificate_file
from ota.errors import CertificateError, DeviceFailed, FirmwareError
from ota.firmware import headers

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.sandbox.process import Address
    from ota.scope import Scope
    from ota.settings.settings import Settings

MQTT_PORT = 8883


@dataclass(frozen=True)
class Site:
    """Where the cloud is.

    Attributes:
        endpoint: the name in the firmware's header, which the cloud's certificate must have.
        host: what TCP connects to.
        port: the same.
        ca_path: the authority to trust, PEM; None for those that this machine trusts.
        sandbox_url: the sandbox's HTTP address; None for AWS.
    """

    endpoint: str
    host: str
    port: int = MQTT_PORT
    ca_path: Path | None = None
    sandbox_url: str | None = None


@dataclass(frozen=True)
class Identity:
    """Who the device is: its name, and the files that prove it."""

    thing_name: str
    certificate_id: str
    certificate_path: Path
    private_key_path: Path = field(repr=False)


def find_identity(thing_name: str, files: CertificateFiles, *, command: str = "invoke thing") -> Identity:
    """The device's identity from its files; ``command`` makes them.

    Raises:
        CertificateError: a file is missing or cannot be used.
    """
    certificate = find_certificate_file(files.certificate_path)
    key = keys.find_private_key(files.private_key_path)
    missing = [
        str(path)
        for path, found in ((files.certificate_path, certificate), (files.private_key_path, key))
        if found is None
    ]
    if certificate is None or key is None:
        raise CertificateError(f"The device {thing_name} has no {' and no '.join(missing)}: `{command}` makes them.")
    if keys.public_key_bytes(key.public_key()) != certificate.public_key:
        raise CertificateError(
            f"{files.private_key_path} is not the key of {files.certificate_path}: `{command}` tells what to do."
        )
    return Identity(thing_name, certificate.id, files.certificate_path, files.private_key_path)


def find_site(scope: Scope, report: Report, open_cloud: Callable[[], Cloud], settings: Settings) -> Site:
    """Where the firmware's header says that the cloud is.

    Args:
        scope: which cloud the command line is about.
        report: where a note goes where there is no header.
        open_cloud: the cloud; only asked for where it is needed.
        settings: the device's.

    Raises:
        FirmwareError: the header names another endpoint or thing than this device's, or nothing yet.
        DeviceFailed: the sandbox that runs has no MQTT.
    """
    application = settings.target_application
    header_format = settings.profile.header_format
    header = headers.find_header(settings.firmware_root, application, header_format) if application else None
    if header is not None:
        endpoint = header.endpoint
        _check_header(header, settings.thing_name)
    else:
        endpoint = open_cloud().data_endpoint
        report.note(f"note: there is no firmware's header to look into; the account's endpoint is {endpoint}")
    if not scope.is_sandbox:
        return Site(endpoint, endpoint)
    known = open_cloud().data_endpoint
    if header is not None and endpoint != known:
        raise FirmwareError(
            f"{header.path} names the endpoint {endpoint!r}, and the sandbox's is {known!r}: a device built with it "
            f"connects to another cloud. `invoke thing` writes the right one."
        )
    return _sandbox_site(endpoint, scope.address)


def _sandbox_site(endpoint: str, address: Address) -> Site:
    if address.mqtt_host is None or address.mqtt_port is None:
        raise DeviceFailed("The sandbox that runs has no MQTT: `invoke sandbox.stop`, and the next one has.")
    return Site(endpoint, address.mqtt_host, address.mqtt_port, Path(address.ca_path), address.endpoint_url)


def _check_header(header: headers.Header, thing_name: str) -> None:
    if header.endpoint in header.format.endpoint.dummies:
        raise FirmwareError(f"{header.path} names no endpoint yet: `invoke thing` writes it.")
    if header.thing_name != thing_name:
        raise FirmwareError(
            f"{header.path} names the thing {header.thing_name!r}, and this device is {thing_name!r}: the firmware "
            f"would connect by the other name. `invoke thing` writes the right one."
        )
