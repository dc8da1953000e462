"""How a device proves itself to the cloud and the cloud to the device: the TLS context of its connection.

The cloud's certificate must name the endpoint that stands in the firmware's header. In the sandbox's case only the
address that TCP connects to differs; the name that is asked for and checked stays the header's.

Source: AWS IoT Developer Guide, "Transport security".
"""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

from ota.device.identity import Identity, Site


def tls_context(site: Site, identity: Identity) -> ssl.SSLContext:
    """What a connection of this device to this cloud is wrapped in: TLS 1.2 or newer, certificates of both sides."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = site.endpoint
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if site.ca_path:
        context.load_verify_locations(cafile=str(site.ca_path))
    else:
        trust_this_machine(context, ssl.get_default_verify_paths())
    context.load_cert_chain(identity.certificate_path, identity.private_key_path)
    return context


class _NamedContext(ssl.SSLContext):
    """Asks for, and checks, one server name, whatever address the socket goes to."""

    server_name = ""

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,  # noqa: ARG002 - later, which leaves the socket open when it fails
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,  # noqa: ARG002 - the address, which paho-mqtt gives
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As in the standard library, but for the name, and with the handshake at once."""
        return super().wrap_socket(sock, server_side, True, suppress_ragged_eofs, self.server_name, session)


def trust_this_machine(context: ssl.SSLContext, paths: ssl.DefaultVerifyPaths) -> None:
    """The system's authorities; where Python finds none, those that come with botocore, Amazon's among them."""
    if paths.cafile or (paths.capath and any(os.scandir(paths.capath))):
        context.load_default_certs()
        return
    import botocore

    context.load_verify_locations(cafile=str(Path(botocore.__file__).with_name("cacert.pem")))
