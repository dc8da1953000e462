"""Virtual devices on the shared sandbox: a thing with the real device policy, signed images, updates, and what the
cloud then shows."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding as KeyEncoding
from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat, PublicFormat

from ota.certificates.files import CertificateFiles
from ota.cloud import Cloud, open_sandbox
from ota.device.device import Device
from ota.device.faults import Fault
from ota.device.firmware import Firmware
from ota.device.flash import Flash
from ota.device.identity import CloudEndpoint, find_identity
from ota.device.messages import Encoding
from ota.device.options import DeviceOptions, Pace, Timing
from ota.errors import Answered
from ota.firmware.image_versions import MCUBOOT_MAGIC
from ota.look import looks
from ota.look.forms import Forms
from ota.policy_documents import device_policy_document
from ota.profiles import CORSTONE, Profile
from ota.report import Report
from ota.run import Run
from ota.sandbox.process import Address
from ota.settings.settings import load_settings
from ota.updates.jobs import Execution
from ota.updates.rollouts import find_rollout
from tests.conftest import ACCOUNT, REGION
from tests.mqtt_world import ALLOW_ALL, make_device
from tests.mqtt_world import Device as CloudDevice
from tests.raw_mqtt import RawClient
from tests.sandbox_control import Control
from tests.sandbox_world import BUCKET, ROLE_ARN, THING, THING_ARN, World

APPLICATION_NAME = "non_secure image"
QUICK = Pace(quiet_s=0.05, tries=3)
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def signing_key(kind: str = "RSA-2048") -> SigningKey:
    """A key of this kind, made once for all tests of a process."""
    if kind == "EC-P256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))


def public_key_pem(kind: str) -> bytes:
    """Its public half."""
    return signing_key(kind).public_key().public_bytes(KeyEncoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_key_pem(kind: str) -> bytes:
    """The whole of it."""
    return signing_key(kind).private_bytes(KeyEncoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_elliptic_key() -> bytes:
    """Another private key each time, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(KeyEncoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_image(version: tuple[int, int, int, int] = (0, 0, 20, 20), size_bytes: int = 60_001) -> bytes:
    """An image with an MCUboot header; no two of its blocks are alike."""
    header = struct.pack("<IIHHIIBBHI", MCUBOOT_MAGIC, 0, 32, 0, size_bytes - 32, 0, *version).ljust(32, b"\0")
    words = (struct.pack("<Q", number * 2654435761 % (1 << 64)) for number in range(size_bytes // 8 + 1))
    return (header + b"".join(words))[:size_bytes]


def sign(image: bytes, kind: str = "RSA-2048") -> bytes:
    """The base64 text of the image's signature, made as Arm's build makes it."""
    key = signing_key(kind)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return base64.b64encode(key.sign(image, ec.ECDSA(hashes.SHA256())))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
    return base64.b64encode(key.sign(image, pss, hashes.SHA256()))


@cache
def _cloud(endpoint_url: str) -> Cloud:
    """One for all tests: reading the service models is most of what a new one costs."""
    return open_sandbox(endpoint_url, REGION)


class PowerIsGone(BaseException):
    """The process ends here, as far as the device is concerned."""


class Lines:
    """Keeps what a device says, and cuts the power at the line or the byte that it is told to."""

    def __init__(self, *, cut_at_line: int | None = None, cut_at_bytes: int | None = None) -> None:
        self.said: list[str] = []
        self.progress: list[int] = []
        self.on_progress: Callable[[int], None] = lambda _: None
        self._cut_at_line, self._cut_at_bytes = cut_at_line, cut_at_bytes

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    def say(self, text: str) -> None:
        self.said.append(text)
        if len(self.said) == self._cut_at_line:
            raise PowerIsGone

    @contextlib.contextmanager
    def bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        yield self._show

    def _show(self, done_bytes: int) -> None:
        self.progress.append(done_bytes)
        self.on_progress(done_bytes)
        if self._cut_at_bytes is not None and done_bytes >= self._cut_at_bytes:
            raise PowerIsGone


class Watched(NamedTuple):
    """Exit status, the lines of the result, and the messages beside it."""

    status: int
    lines: list[str]
    hints: str


@dataclass
class DeviceWorld:
    """One thing with its certificate and policy, a folder for its flash, and the account's clients."""

    iot: Any
    s3: Any
    control: Control
    address: Address
    cloud_device: CloudDevice
    folder: Path
    signing: str = "RSA-2048"
    lines: Lines = field(default_factory=Lines)

    @property
    def flash(self) -> Flash:
        return Flash(self.folder / "flash")

    @property
    def public_key_path(self) -> Path:
        path = self.folder / f"{self.signing}.pem"
        path.write_bytes(public_key_pem(self.signing))
        return path

    def offer(self, image: bytes, name: str = "lamp-1", *, signature: bytes | None = None, **changes: Any) -> str:
        """An update that brings this image to the thing, with ``changes`` in its request or its file; the job's id."""
        put = self.s3.put_object(Bucket=BUCKET, Key=f"images/{name}.bin", Body=image)
        location = {"bucket": BUCKET, "key": f"images/{name}.bin", "version": put["VersionId"]}
        algorithm = changes.pop("algorithm", "ECDSA" if self.signing.startswith("EC") else "RSA")
        signing = {
            "signature": {"inlineDocument": signature or sign(image, self.signing)},
            "certificateChain": {"certificateName": "0"},
            "hashAlgorithm": "SHA256",
            "signatureAlgorithm": algorithm,
        }
        file = {
            "fileName": changes.pop("file_name", APPLICATION_NAME),
            "fileLocation": {"s3Location": location},
            "codeSigning": {"customCodeSigning": signing},
        }
        request = {
            "otaUpdateId": name,
            "targets": [THING_ARN],
            "protocols": ["MQTT"],
            "roleArn": ROLE_ARN,
            "files": [file],
            **changes,
        }
        self.iot.create_ota_update(**request)
        info = self.iot.get_ota_update(otaUpdateId=name)["otaUpdateInfo"]
        assert info["otaUpdateStatus"] == "CREATE_COMPLETE", info
        return str(info["awsIotJobId"])

    def endpoint(self, **changes: Any) -> CloudEndpoint:
        name = self.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
        values = {
            "name": name,
            "host": "127.0.0.1",
            "port": self.address.mqtt_port,
            "ca_path": Path(self.address.ca_path),
            "sandbox": self.address,
        }
        return CloudEndpoint(**{**values, **changes})

    @contextlib.contextmanager
    def device(
        self,
        fault: Fault | None = None,
        *,
        profile: Profile = CORSTONE,
        is_faithful: bool = False,
        is_forever: bool = False,
        encoding: Encoding = Encoding.JSON,
        timeout_s: float | None = None,
        **timing: Any,
    ) -> Iterator[Device]:
        """A device that has just been switched on."""
        files = self.cloud_device.files
        paths = CertificateFiles(files.key, files.key.with_suffix(".pub"), files.certificate)
        identity = find_identity(self.cloud_device.name, paths)
        firmware = Firmware(profile, self.public_key_path, is_faithful=is_faithful)
        pace = None if is_faithful else QUICK
        defaults: dict[str, Any] = {"answer_timeout_s": 5.0, "sleep": lambda _: None, "pace": pace}
        options = DeviceOptions(encoding, fault, is_faithful, is_forever, timeout_s=timeout_s)
        times = Timing(**{**defaults, **timing})
        with self.flash as flash:
            device = Device(self.endpoint(), identity, firmware, flash, options, times, self.lines)
            with contextlib.closing(device):
                yield device

    def execution(self, job_id: str) -> Execution:
        """The job's execution as the cloud shows it."""
        rollout = find_rollout(self.iot, job_id)
        assert rollout is not None
        (execution,) = rollout.executions
        return execution

    def watch(self, update_id: str = "lamp-1") -> Watched:
        """What ``invoke watch`` says while nothing moves any more, on a clock that does not wait."""
        config = self.folder / "config.json"
        config.write_text(json.dumps({"thing_name": THING, "update_name": update_id}))
        settings = load_settings(self.folder, environ={})
        out, err, now = io.StringIO(), io.StringIO(), [0.0]
        run = Run(self.folder, Report(out, err)).about(settings, _cloud(self.address.endpoint_url))
        sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)  # noqa: E731
        status = 0
        try:
            options = {"timeout_s": 6.0, "silence_s": 3.0, "sleep": sleep, "clock": lambda: now[0]}
            looks.watch(run, forms=Forms(), **options)
        except Answered as answer:
            status = answer.exit_code
        return Watched(status, out.getvalue().splitlines(), err.getvalue())

    def spy(self) -> RawClient:
        """A client of the same account that sees every message of the thing."""
        watcher = make_device(self.iot, self.address, self.folder, "watcher", policy=ALLOW_ALL).connect()
        watcher.subscribe(f"$aws/things/{THING}/#", f"{THING}/#")
        return watcher


def device_policy() -> dict[str, Any]:
    return device_policy_document("aws", REGION, ACCOUNT)


def device_world(world: World, control: Control, folder: Path, policy: dict[str, Any] | None = None) -> DeviceWorld:
    """A world whose thing ``lamp`` has the policy that the tool writes."""
    cloud_device = make_device(world.iot, control.address, folder, THING, policy=policy or device_policy())
    return DeviceWorld(world.iot, world.s3, control, control.address, cloud_device, folder)
