"""How a device and its cloud authenticate each other: the device's files, the endpoint in the firmware's header, TLS.

The virtual device connects to the endpoint that the firmware's header names, because the header is part of what it
tests. In the sandbox the header has to name the sandbox's endpoint, and TCP connects to this machine instead; the name
that TLS requests and verifies stays the header's.

Source: ``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (client id and endpoint come from the header);
AWS IoT Developer Guide, "Transport security".
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ota.certificates import keys
from ota.certificates.files import CertificateFiles, find_certificate_file
from ota.errors import CertificateError, DeviceFailed, FirmwareError
from ota.firmware import header_templates, headers
from ota.firmware.tree import check_tree, find_header_path, tree_problem
from ota.messages import Command, command

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.sandbox.process import Address
    from ota.scope import Scope
    from ota.settings.settings import Settings

MQTT_PORT = 8883
THING = command("thing")


@dataclass(frozen=True)
class CloudEndpoint:
    """Where a device connects to.

    Attributes:
        name: the endpoint in the firmware's header; the cloud's certificate has to name it.
        host: the host that TCP connects to.
        port: the port that TCP connects to.
        ca_path: the certificate authority to trust, PEM; None for those that this machine trusts.
        sandbox: the sandbox that it is an endpoint of; None for AWS.
    """

    name: str
    host: str
    port: int = MQTT_PORT
    ca_path: Path | None = None
    sandbox: Address | None = None


@dataclass(frozen=True)
class DeviceIdentity:
    """The device's name, and the files that prove it."""

    thing_name: str
    certificate_id: str
    certificate_path: Path
    private_key_path: Path = field(repr=False)


def find_identity(thing_name: str, files: CertificateFiles, *, remedy: Command = THING) -> DeviceIdentity:
    """Read the device's identity from its files; ``remedy`` creates them.

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
        raise CertificateError(
            f"The device {thing_name} has no {' and no '.join(missing)}: ", remedy, " makes them.", remedy=remedy
        )
    if keys.public_key_bytes(key.public_key()) != certificate.public_key:
        raise CertificateError(
            f"{files.private_key_path} is not the key of {files.certificate_path}: ", remedy, " tells what to do."
        )
    return DeviceIdentity(thing_name, certificate.id, files.certificate_path, files.private_key_path)


def find_endpoint(scope: Scope, report: Report, open_cloud: Callable[[], Cloud], settings: Settings) -> CloudEndpoint:
    """The endpoint that the firmware's header names.

    Args:
        scope: the command line's cloud.
        report: prints a note where there is no header.
        open_cloud: opens the cloud; called only where it is needed.
        settings: the device's settings.

    Raises:
        FirmwareError: the header names another endpoint or thing than this device's, or none yet.
        DeviceFailed: the running sandbox has no MQTT broker.
    """
    header = _find_header(settings)
    if header is not None:
        name = header.endpoint
        _check_header(header, settings.thing_name)
    else:
        name = open_cloud().data_endpoint
        if not _is_made(settings, name):
            report.note(f"note: there is no firmware's header to read; the account's endpoint is {name}")
    if not scope.is_sandbox:
        return CloudEndpoint(name, name)
    known = open_cloud().data_endpoint
    if header is not None and name != known:
        raise FirmwareError(
            f"{header.path} names the endpoint {name!r}, and the sandbox's is {known!r}: a device built with it "
            "connects to another cloud. ",
            THING,
            " writes the right one.",
            remedy=THING,
        )
    return _sandbox_endpoint(name, scope.address)


def _find_header(settings: Settings) -> headers.Header | None:
    """The firmware's header; None where there is no tree, no header is named, or it is made from a template."""
    path = find_header_path(settings)
    if path is None or settings.header_template or tree_problem(settings):
        return None
    return headers.read_header(check_tree(settings) or path, settings.header_format)


def _is_made(settings: Settings, endpoint: str) -> bool:
    """Whether the header is one that is made from a template, with this endpoint and the device's name.

    Raises:
        FirmwareError: it is made from a template, and it is not what that gives.
    """
    if not settings.header_template:
        return False
    wanted = header_templates.wanted_header(settings, endpoint)
    if header_templates.find_data(wanted.path) != wanted.data:
        raise FirmwareError(
            f"{wanted.path} is not what header_template gives for {settings.thing_name} at {endpoint}: ",
            THING,
            " writes it.",
            remedy=THING,
        )
    return True


def _sandbox_endpoint(name: str, address: Address) -> CloudEndpoint:
    if address.mqtt_host is None or address.mqtt_port is None:
        stop = command("sandbox.stop")
        raise DeviceFailed(
            "The running sandbox has no MQTT broker. Stop it with ", stop, "; the next one has a broker.", remedy=stop
        )
    return CloudEndpoint(name, address.mqtt_host, address.mqtt_port, Path(address.ca_path), address)


def _check_header(header: headers.Header, thing_name: str) -> None:
    if header.endpoint in header.format.endpoint.dummies:
        raise FirmwareError(f"{header.path} names no endpoint yet: ", THING, " writes it.", remedy=THING)
    if header.thing_name != thing_name:
        raise FirmwareError(
            f"{header.path} names the thing {header.thing_name!r}, and this device is {thing_name!r}: the firmware "
            "would connect with the other name. ",
            THING,
            " writes the right one.",
            remedy=THING,
        )


def tls_context(endpoint: CloudEndpoint, identity: DeviceIdentity) -> ssl.SSLContext:
    """The TLS context of a connection: TLS 1.2 or newer, certificates of both sides."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = endpoint.name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if endpoint.ca_path:
        context.load_verify_locations(cafile=str(endpoint.ca_path))
    else:
        trust_this_machine(context, ssl.get_default_verify_paths())
    context.load_cert_chain(identity.certificate_path, identity.private_key_path)
    return context


def trust_this_machine(context: ssl.SSLContext, paths: ssl.DefaultVerifyPaths) -> None:
    """Trust the system's authorities; where Python finds none, those of botocore, which include Amazon's."""
    if paths.cafile or (paths.capath and any(os.scandir(paths.capath))):
        context.load_default_certs()
        return
    import botocore

    context.load_verify_locations(cafile=str(Path(botocore.__file__).with_name("cacert.pem")))


class _NamedContext(ssl.SSLContext):
    """Requests and verifies one server name, whatever address the socket connects to."""

    server_name = ""

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,  # noqa: ARG002 - a later handshake leaves the socket open when it fails
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,  # noqa: ARG002 - paho-mqtt passes the address
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Wrap the socket with this context's server name, and do the handshake at once."""
        return super().wrap_socket(sock, server_side, True, suppress_ragged_eofs, self.server_name, session)
