"""Certificates: requested once, found again after any cut, refused where files, thing and account do not match."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ota import policies, things
from ota.certificates import certificates, keys
from ota.certificates import files as certificate_files
from ota.certificates.certificates import Certificate
from ota.certificates.decisions import decide_certificate, make_certificate
from ota.certificates.files import CertificateFiles
from ota.errors import CertificateError, InTheWay, WaitTimeout
from ota.folders import IGNORE_FILE
from ota.messages import aws_command
from ota.outcomes import Action, Change, Outcome, Verb
from ota.policy_documents import device_policy_document
from tests.conftest import ACCOUNT, REGION, client
from tests.kept import keeper

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.sandbox.process import Address
    from tests.sandbox_control import Control

THING = "lamp-1"
POLICY = "lamp-1_policy"
WANTED = policies.WantedPolicy(device_policy_document("aws", REGION, ACCOUNT), THING)
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)
UNKNOWN_ID = "0" * 64


class Sleeps(list[float]):
    """A sleep that only notes for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture(autouse=True)
def _keys_at_hand() -> Iterator[None]:
    with keeper().giving_keys():
        yield


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_files(tmp_path / "certificates")


def make_files(folder_path: Path) -> CertificateFiles:
    return CertificateFiles(folder_path / "private.pem", folder_path / "public.pem", folder_path / "device.pem")


def set_up(
    iot: IoTClient, files: CertificateFiles, *, thing_name: str = THING, existing_arn: str | None = None
) -> Outcome[Certificate]:
    """What the tool does: look at thing and files, decide, and carry it out."""
    thing = things.find_thing(iot, thing_name)
    return make_certificate(iot, decide(iot, files, thing, thing_name=thing_name, existing_arn=existing_arn))


def decide(
    iot: IoTClient,
    files: CertificateFiles,
    thing: things.Thing | None,
    *,
    thing_name: str = THING,
    existing_arn: str | None = None,
) -> Change:
    found = certificates.find_local_certificate(iot, files, existing_arn=existing_arn)
    state = certificates.look_at_certificate(
        iot,
        files,
        found=found,
        attached=thing.principals if thing else (),
        thing_name=thing_name,
        existing_arn=existing_arn,
    )
    return decide_certificate(state)


def attach(iot: IoTClient, certificate_arn: str, thing_name: str = THING, *, is_exclusive: bool = False) -> None:
    change = things.decide_thing(thing_name, things.find_thing(iot, thing_name), attaches=True)
    things.make_thing(iot, change, certificate_arn, is_exclusive=is_exclusive)


def request_for(iot: IoTClient, key: keys.PrivateKey, *, is_active: bool = True) -> Certificate:
    """A certificate that AWS made for this key, as a run that was cut off leaves it."""
    created = iot.create_certificate_from_csr(
        certificateSigningRequest=keys.signing_request(key, THING), setAsActive=is_active
    )
    found = certificates.find_certificate(iot, created["certificateId"])
    assert found is not None
    return found


def somebodys(iot: IoTClient) -> str:
    """The ARN of a certificate that has nothing to do with ours."""
    request = keys.signing_request(ec.generate_private_key(ec.SECP256R1()), "somebody's")
    return iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)["certificateArn"]


def all_ids(iot: IoTClient) -> set[str]:
    return {certificate.id for certificate in certificates.list_certificates(iot)}


def contents(files: CertificateFiles) -> dict[str, bytes]:
    folder_path = files.private_key_path.parent
    if not folder_path.exists():
        return {}
    return {path.name: path.read_bytes() for path in folder_path.iterdir() if path.name != IGNORE_FILE}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def id_on_disk(files: CertificateFiles) -> str:
    return certificate_files.certificate_id_of(files.certificate_path.read_text())


def key_on_disk(files: CertificateFiles) -> bytes:
    key = keys.find_private_key(files.private_key_path)
    assert key is not None
    return keys.public_key_bytes(key.public_key())


# --- from nothing, and again


def test_from_nothing_a_key_is_made_and_its_certificate_is_active(iot: IoTClient, files: CertificateFiles) -> None:
    outcome = set_up(iot, files)
    assert (outcome.noun, outcome.verb) == ("certificate", Verb.CREATED)
    assert outcome.detail == f"written to {files.certificate_path}"
    found = certificates.find_certificate(iot, outcome.name)
    assert found is not None
    assert (found.status, found.pem) == ("ACTIVE", files.certificate_path.read_text())
    assert found.public_key == key_on_disk(files)
    assert id_on_disk(files) == found.id == outcome.get().id
    assert found.expires
    assert found.expires > datetime.now(timezone.utc)


def test_from_nothing_costs_one_call(iot: IoTClient, control: Control, files: CertificateFiles) -> None:
    make_certificate(iot, decide(iot, files, None))
    assert control.operations() == ["CreateCertificateFromCsr"]


def test_the_three_files_have_the_modes_they_need(iot: IoTClient, files: CertificateFiles) -> None:
    set_up(iot, files)
    paths = (files.private_key_path.parent, files.private_key_path, files.public_key_path, files.certificate_path)
    assert [mode_of(path) for path in paths] == [0o700, 0o600, 0o644, 0o644]
    assert sorted(contents(files)) == ["device.pem", "private.pem", "public.pem"]


def test_the_key_is_on_disk_before_aws_is_asked(iot: IoTClient, files: CertificateFiles) -> None:
    seen: list[bytes] = []

    def note(**_: object) -> None:
        seen.append(key_on_disk(files))

    event = "before-call.iot.CreateCertificateFromCsr"
    iot.meta.events.register(event, note)
    set_up(iot, files)
    iot.meta.events.unregister(event, note)
    assert seen == [key_on_disk(files)]


def test_the_private_key_is_in_no_log_and_no_outcome(
    iot: IoTClient, files: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        outcome = set_up(iot, files)
        again = set_up(iot, files)
    told = caplog.text + repr(outcome) + repr(again)
    assert "CreateCertificateFromCsr" in told
    secret_lines = files.private_key_path.read_text().splitlines()[1:-1]
    assert not [line for line in secret_lines if line in told]


def test_an_attached_certificate_is_reused_with_one_call(
    iot: IoTClient, control: Control, files: CertificateFiles
) -> None:
    arn = set_up(iot, files).get().arn
    attach(iot, arn, is_exclusive=True)
    before = contents(files)
    control.clear_calls()
    outcome = set_up(iot, files)
    assert (outcome.verb, outcome.name, outcome.detail) == (Verb.REUSED, id_on_disk(files), "")
    assert control.operations() == ["DescribeThing", "ListThingPrincipalsV2", "DescribeCertificate"]
    assert contents(files) == before


def test_a_certificate_is_reused_beside_others_on_its_thing(iot: IoTClient, files: CertificateFiles) -> None:
    attach(iot, set_up(iot, files).get().arn)
    attach(iot, somebodys(iot))
    assert set_up(iot, files).verb is Verb.REUSED


def test_a_certificate_that_is_not_attached_yet_is_reused(iot: IoTClient, files: CertificateFiles) -> None:
    first = set_up(iot, files)
    assert set_up(iot, files).get().id == first.get().id
    assert len(all_ids(iot)) == 1


@pytest.mark.parametrize("path_name", ["public_key_path", "certificate_path"])
def test_a_lost_file_that_can_be_had_again_is_written_again(
    iot: IoTClient, files: CertificateFiles, path_name: str
) -> None:
    attach(iot, set_up(iot, files).get().arn)
    before = contents(files)
    getattr(files, path_name).unlink()
    assert set_up(iot, files).verb is Verb.REUSED
    assert contents(files) == before
    assert len(all_ids(iot)) == 1


def test_a_private_key_that_others_can_read_is_told_with_its_remedy(iot: IoTClient, files: CertificateFiles) -> None:
    set_up(iot, files)
    files.private_key_path.chmod(0o644)
    assert set_up(iot, files).detail == f"others can read the private key: chmod 600 {files.private_key_path}"


def test_an_ecdsa_key_that_is_there_gets_a_certificate(iot: IoTClient, files: CertificateFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    files.private_key_path.parent.mkdir()
    files.private_key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    outcome = set_up(iot, files)
    assert outcome.verb is Verb.CREATED
    assert outcome.get().public_key == keys.public_key_bytes(key.public_key())


# --- a request that was cut off


@pytest.fixture
def key(files: CertificateFiles) -> keys.PrivateKey:
    return keys.create_private_key(files.private_key_path)


def test_a_key_alone_gets_a_certificate_for_the_same_key(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    outcome = set_up(iot, files)
    assert outcome.verb is Verb.CREATED
    assert outcome.get().public_key == keys.public_key_bytes(key.public_key())
    assert sorted(contents(files)) == ["device.pem", "private.pem", "public.pem"]


def test_a_certificate_of_a_cut_off_request_is_adopted(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    somebodys(iot)
    orphan = request_for(iot, key)
    somebodys(iot)
    outcome = set_up(iot, files)
    assert (outcome.verb, outcome.name) == (Verb.REUSED, orphan.id)
    assert outcome.detail == f"adopted from a run that was cut off; written to {files.certificate_path}"
    assert id_on_disk(files) == orphan.id
    assert len(all_ids(iot)) == 3


def test_the_newest_of_several_cut_off_requests_is_adopted(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    request_for(iot, key)
    newest = request_for(iot, key)
    assert set_up(iot, files).name == newest.id


@pytest.mark.parametrize("state", ["inactive", "on another thing"])
def test_a_certificate_of_this_key_that_is_no_orphan_is_not_adopted(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey, state: str
) -> None:
    other = request_for(iot, key, is_active=state != "inactive")
    if state == "on another thing":
        attach(iot, other.arn, "lamp-2")
    outcome = set_up(iot, files)
    assert outcome.verb is Verb.CREATED
    assert outcome.name != other.id
    # An inactive one is what a deletion that was cut off left; once a file names the new one, nobody looks for it.
    assert (other.id in all_ids(iot)) is (state == "on another thing")


def test_the_things_own_certificate_of_this_key_is_adopted(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    own = request_for(iot, key)
    attach(iot, somebodys(iot))
    attach(iot, own.arn)
    assert set_up(iot, files).name == own.id
    assert id_on_disk(files) == own.id


def stale_certificate_of(key: keys.PrivateKey) -> str:
    """A certificate for this key that no account knows."""
    name = x509.Name([])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("is_orphan_there", [True, False], ids=["adopted", "requested"])
def test_a_certificate_of_another_account_is_kept_beside_the_new_one(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey, is_orphan_there: bool
) -> None:
    stale = stale_certificate_of(key)
    files.certificate_path.write_text(stale)
    orphan = request_for(iot, key) if is_orphan_there else None
    outcome = set_up(iot, files)
    kept_path = files.certificate_path.with_name(f"device.{certificate_files.certificate_id_of(stale)[:8]}.pem")
    assert kept_path.read_text() == stale
    assert f"the former one is kept as {kept_path.name}" in outcome.detail
    assert id_on_disk(files) == outcome.name
    assert outcome.verb is (Verb.REUSED if orphan else Verb.CREATED)
    assert orphan is None or outcome.name == orphan.id
    assert key_on_disk(files) == keys.public_key_bytes(key.public_key())


# --- the search


@pytest.mark.parametrize(
    ("newer_count", "since", "is_found"),
    [
        pytest.param(24, timedelta(days=1), True, id="among-the-newest-25-though-old"),
        pytest.param(25, timedelta(days=1), False, id="older-than-the-newest-25"),
        pytest.param(40, timedelta(days=-1), True, id="far-down-but-made-since"),
    ],
)
def test_the_search_goes_as_far_as_an_orphan_can_be(
    iot: IoTClient,
    key: keys.PrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    newer_count: int,
    since: timedelta,
    is_found: bool,
) -> None:
    monkeypatch.setattr(certificates, "PAGE_SIZE", 10)
    orphan = request_for(iot, key)
    other = ec.generate_private_key(ec.SECP256R1())
    for _ in range(newer_count):
        iot.create_certificate_from_csr(certificateSigningRequest=keys.signing_request(other, "x"), setAsActive=True)
    found = certificates.list_by_public_key(
        iot,
        keys.public_key_bytes(key.public_key()),
        newer_than=datetime.now(timezone.utc) + since,
        thing_name=THING,
    )
    assert [one.id for one in found] == ([orphan.id] if is_found else [])


def test_the_search_is_bounded(iot: IoTClient, key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MOST_SEARCHED", 2)
    request_for(iot, key)
    for _ in range(2):
        somebodys(iot)
    public_key = keys.public_key_bytes(key.public_key())
    found = certificates.list_by_public_key(iot, public_key, newer_than=LONG_AGO, thing_name=THING)
    assert not list(found)


def test_the_search_stops_at_the_batch_that_matches(
    iot: IoTClient, control: Control, key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "BATCH_SIZE", 2)
    for _ in range(4):
        somebodys(iot)
    request_for(iot, key)
    control.clear_calls()
    public_key = keys.public_key_bytes(key.public_key())
    next(certificates.list_by_public_key(iot, public_key, newer_than=LONG_AGO, thing_name=THING))
    assert control.operations().count("DescribeCertificate") == 2


def test_a_certificate_deleted_during_the_search_is_passed_over(
    iot: IoTClient, control: Control, key: keys.PrivateKey
) -> None:
    request_for(iot, key)
    control.fail("DescribeCertificate", code="ResourceNotFoundException", status=404)
    public_key = keys.public_key_bytes(key.public_key())
    found = certificates.list_by_public_key(iot, public_key, newer_than=LONG_AGO, thing_name=THING)
    assert not list(found)


# --- refusals


AS_IT_IS = "`invoke with --existing-device true --skip-build true all`"


@dataclass
class Case:
    """One refused state, as ``prepare`` makes it, and what its message must say."""

    iot: IoTClient
    files: CertificateFiles

    def certificate_without_key(self) -> list[str]:
        set_up(self.iot, self.files)
        self.files.private_key_path.unlink()
        return [str(self.files.private_key_path), "put the key back", f"`mv {self.files.certificate_path} "]

    def attached_certificate_without_key(self) -> list[str]:
        arn = somebodys(self.iot)
        attach(self.iot, arn)
        return [str(self.files.private_key_path), "put it back", "credentials_path", arn.rpartition("/")[2], AS_IT_IS]

    def key_of_another_certificate(self) -> list[str]:
        set_up(self.iot, self.files)
        self.files.private_key_path.unlink()
        keys.create_private_key(self.files.private_key_path)
        return [str(self.files.private_key_path), str(self.files.certificate_path), "does not belong"]

    def inactive(self) -> list[str]:
        certificate_id = set_up(self.iot, self.files).name
        certificates.deactivate_certificate(self.iot, certificate_id)
        return [
            f"The certificate {certificate_id} is INACTIVE",
            "where a clean was cut off, finish it (`invoke clean`)",
            f"`aws iot update-certificate --certificate-id {certificate_id} --new-status ACTIVE",
            "start anew",
        ]

    def revoked(self) -> list[str]:
        certificate_id = set_up(self.iot, self.files).name
        self.iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
        return [f"The certificate {certificate_id} is REVOKED", f"`mv {self.files.private_key_path} "]

    def attached_but_inactive_and_file_lost(self) -> list[str]:
        certificate = set_up(self.iot, self.files).get()
        attach(self.iot, certificate.arn)
        certificates.deactivate_certificate(self.iot, certificate.id)
        self.files.certificate_path.unlink()
        return [f"{certificate.id} is INACTIVE", f"--principal {certificate.arn}"]

    def another_certificate_attached(self) -> list[str]:
        certificate_id = set_up(self.iot, self.files).name
        arn = somebodys(self.iot)
        attach(self.iot, arn)
        return [certificate_id, arn.rpartition("/")[2], "do not belong to the thing", AS_IT_IS]

    def key_alone_and_another_certificate_attached(self) -> list[str]:
        keys.create_private_key(self.files.private_key_path)
        arn = somebodys(self.iot)
        attach(self.iot, arn)
        return ["none that is attached to it", arn.rpartition("/")[2], AS_IT_IS]

    def files_of_another_thing(self) -> list[str]:
        certificate = set_up(self.iot, self.files).get()
        attach(self.iot, certificate.arn, "lamp-2", is_exclusive=True)
        return [f"({certificate.id}) belongs to lamp-2", "set another credentials_path"]

    def unreadable_certificate(self) -> list[str]:
        keys.create_private_key(self.files.private_key_path)
        self.files.certificate_path.write_text("rubbish")
        return [f"{self.files.certificate_path} is not a certificate", "`mv "]

    def certificate_path_is_a_folder(self) -> list[str]:
        self.files.certificate_path.mkdir(parents=True)
        return [f"The certificate {self.files.certificate_path} cannot be read"]

    def rubbish_key(self) -> list[str]:
        self.files.private_key_path.parent.mkdir()
        self.files.private_key_path.write_text("rubbish")
        return [f"{self.files.private_key_path} is not a private key"]


REFUSED = [
    Case.certificate_without_key,
    Case.attached_certificate_without_key,
    Case.key_of_another_certificate,
    Case.inactive,
    Case.revoked,
    Case.attached_but_inactive_and_file_lost,
    Case.another_certificate_attached,
    Case.key_alone_and_another_certificate_attached,
    Case.files_of_another_thing,
    Case.unreadable_certificate,
    Case.certificate_path_is_a_folder,
    Case.rubbish_key,
]


@pytest.mark.parametrize("prepare", [pytest.param(case, id=case.__name__) for case in REFUSED])
def test_what_does_not_belong_together_is_refused_with_a_way_out_and_left(
    iot: IoTClient, tmp_path: Path, prepare: Callable[[Case], list[str]]
) -> None:
    files = make_files(tmp_path / "certificates")
    expected = prepare(Case(iot, files))
    before = (all_ids(iot), {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")})
    with pytest.raises(CertificateError) as caught:
        set_up(iot, files)
    message = str(caught.value)
    assert [part for part in expected if part not in message] == [], message
    assert "PRIVATE KEY" not in message
    assert "detach-thing-principal" not in message or "is INACTIVE" in message  # never a working device's
    assert (all_ids(iot), {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}) == before


def test_a_refusal_is_decided_with_its_brief_and_its_way_out(iot: IoTClient, files: CertificateFiles) -> None:
    Case(iot, files).inactive()
    certificate_id = id_on_disk(files)
    change = decide(iot, files, None)
    assert (change.noun, change.action, change.name) == ("certificate", Action.BLOCKED, "device.pem")
    assert str(change.brief) == f"The certificate {certificate_id} is INACTIVE, so no device can connect with it"
    assert change.command == aws_command(iot, "update-certificate", certificate_id=certificate_id, new_status="ACTIVE")


def test_deciding_makes_no_call_and_no_file(iot: IoTClient, control: Control, files: CertificateFiles) -> None:
    state = certificates.look_at_certificate(iot, files, found=None, attached=(), thing_name=THING)
    control.clear_calls()
    change = decide_certificate(state)
    assert (change.action, change.name) == (Action.CREATE, f"of {THING}")
    assert change.detail == f"with a new key, into {files.certificate_path}"
    assert control.operations() == []
    assert contents(files) == {}


def test_a_revoked_certificate_is_not_to_be_activated(iot: IoTClient, files: CertificateFiles) -> None:
    Case(iot, files).revoked()
    with pytest.raises(CertificateError) as caught:
        set_up(iot, files)
    assert "activate" not in str(caught.value)


# --- a certificate that the settings name


def test_an_existing_certificate_is_used_and_its_file_written(iot: IoTClient, files: CertificateFiles) -> None:
    arn = somebodys(iot)
    outcome = set_up(iot, files, existing_arn=arn)
    assert (outcome.verb, outcome.get().arn) == (Verb.REUSED, arn)
    assert id_on_disk(files) == outcome.name
    assert not files.private_key_path.exists()
    assert outcome.detail == (
        f"the build needs its private key at {files.private_key_path}; written to {files.certificate_path}"
    )


def test_an_existing_certificate_with_its_key_needs_nothing_more(iot: IoTClient, files: CertificateFiles) -> None:
    arn = set_up(iot, files).get().arn
    attach(iot, arn)
    outcome = set_up(iot, files, existing_arn=arn)
    assert (outcome.verb, outcome.get().arn, outcome.detail) == (Verb.REUSED, arn, "")


def test_an_existing_certificate_may_hang_on_other_things_too(iot: IoTClient, files: CertificateFiles) -> None:
    arn = somebodys(iot)
    attach(iot, arn, "lamp-2")
    assert set_up(iot, files, existing_arn=arn).get().arn == arn


def test_the_file_of_another_certificate_is_kept_beside_an_existing_ones(
    iot: IoTClient, files: CertificateFiles
) -> None:
    former = set_up(iot, files).get()
    files.private_key_path.unlink()
    set_up(iot, files, existing_arn=somebodys(iot))
    assert certificate_files.certificate_id_of(
        (files.certificate_path.parent / f"device.{former.id[:8]}.pem").read_text()
    )


def existing_of_other_key(iot: IoTClient, files: CertificateFiles) -> str:
    keys.create_private_key(files.private_key_path)
    return somebodys(iot)


def existing_inactive(iot: IoTClient, _: CertificateFiles) -> str:
    arn = somebodys(iot)
    certificates.deactivate_certificate(iot, arn.rpartition("/")[2])
    return arn


def existing_elsewhere(iot: IoTClient, _: CertificateFiles) -> str:
    arn = somebodys(iot)
    attach(iot, arn, "lamp-2", is_exclusive=True)
    return arn


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        pytest.param("my-certificate", "'my-certificate', which is not a certificate's ARN", id="no-arn"),
        pytest.param(f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/x", "is not a certificate's ARN", id="a-things-arn"),
        pytest.param(
            f"arn:aws:iot:us-east-1:{ACCOUNT}:cert/{UNKNOWN_ID}", "set AWS_REGION=us-east-1", id="another-region"
        ),
        pytest.param(
            f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{UNKNOWN_ID}", "no such certificate in this account", id="unknown"
        ),
        pytest.param(
            lambda iot, _: somebodys(iot).replace(ACCOUNT, "999999999999"),
            "no such certificate in this account",
            id="another-account",
        ),
        pytest.param(existing_of_other_key, "does not belong to the certificate that existing", id="another-key"),
        pytest.param(existing_inactive, "is INACTIVE.*--new-status ACTIVE", id="inactive"),
        pytest.param(existing_elsewhere, "belongs to lamp-2 alone: name another one", id="another-things-own"),
    ],
)
def test_an_existing_certificate_that_cannot_be_used_is_refused(
    iot: IoTClient, files: CertificateFiles, existing: str | Callable[..., str], expected: str
) -> None:
    arn = existing if isinstance(existing, str) else existing(iot, files)
    with pytest.raises(CertificateError, match=expected):
        set_up(iot, files, existing_arn=arn)
    assert not files.certificate_path.exists()


# --- deleting


@pytest.mark.parametrize("form", ["arn", "id"])
def test_deleting_takes_an_active_certificate_with_its_policies(iot: IoTClient, form: str) -> None:
    arn = somebodys(iot)
    iot.create_policy(policyName=POLICY, policyDocument=json.dumps(WANTED.document))
    iot.attach_policy(policyName=POLICY, target=arn)
    certificate_id = arn.rpartition("/")[2]
    outcome = certificates.delete_certificate(iot, arn if form == "arn" else certificate_id)
    assert outcome == Outcome("certificate", Verb.DELETED, certificate_id)
    assert certificates.find_certificate(iot, certificate_id) is None
    assert list(policies.list_policy_targets(iot, POLICY)) == []


def test_deleting_a_deactivated_certificate_costs_one_call(iot: IoTClient, control: Control) -> None:
    arn = somebodys(iot)
    certificates.deactivate_certificate(iot, arn.rpartition("/")[2])
    control.clear_calls()
    certificates.delete_certificate(iot, arn)
    assert control.operations() == ["DeleteCertificate"]


def test_deleting_a_missing_certificate_is_success(iot: IoTClient) -> None:
    assert certificates.delete_certificate(iot, UNKNOWN_ID) == Outcome("certificate", Verb.ABSENT, UNKNOWN_ID)
    certificates.deactivate_certificate(iot, UNKNOWN_ID)


def test_a_missing_certificate_hangs_on_nothing(iot: IoTClient, control: Control) -> None:
    control.fail("ListPrincipalThingsV2", code="ResourceNotFoundException", status=404)
    assert list(certificates.list_things_of(iot, f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{UNKNOWN_ID}")) == []


@pytest.mark.parametrize("names", [["lamp-2"], ["lamp-2", "lamp-3"]], ids=["one", "two"])
@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE"])
def test_a_certificate_on_a_thing_is_left_as_it_is(iot: IoTClient, names: list[str], status: Any) -> None:
    arn = somebodys(iot)
    certificate_id = arn.rpartition("/")[2]
    iot.update_certificate(certificateId=certificate_id, newStatus=status)
    for name in names:
        attach(iot, arn, name)
    with pytest.raises(InTheWay, match=", ".join(names)) as caught:
        certificates.delete_certificate(iot, arn)
    assert f"`aws iot detach-thing-principal --thing-name lamp-2 --principal {arn}" in str(caught.value)
    found = certificates.find_certificate(iot, certificate_id)
    assert found is not None
    assert found.status == status
    assert sorted(certificates.list_things_of(iot, arn)) == names


def test_force_detaches_a_certificate_from_every_thing(iot: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "PAGE_SIZE", 1)
    arn = somebodys(iot)
    for name in ("lamp-2", "lamp-3"):
        attach(iot, arn, name)
    assert certificates.delete_certificate(iot, arn, force=True, sleep=Sleeps()).verb is Verb.DELETED
    for name in ("lamp-2", "lamp-3"):
        thing = things.find_thing(iot, name)
        assert thing is not None
        assert thing.principals == ()


def test_what_somebody_detached_while_we_do_counts_as_detached(iot: IoTClient, control: Control) -> None:
    arn = somebodys(iot)
    attach(iot, arn, "lamp-2")
    control.fail("DetachThingPrincipal", code="ResourceNotFoundException", status=404)
    with pytest.raises(WaitTimeout):
        certificates.delete_certificate(iot, arn, force=True, timeout_s=0, sleep=Sleeps())


STILL_ATTACHED = {"code": "DeleteConflictException", "status": 409, "message": "Things must be detached first"}


def test_deletion_waits_for_our_own_detachment_to_end(iot: IoTClient, control: Control) -> None:
    control.fail("DeleteCertificate", **STILL_ATTACHED, times=3)
    sleeps = Sleeps()
    outcome = certificates.delete_certificate(iot, somebodys(iot), detached_from=THING, poll_s=3, sleep=sleeps)
    assert outcome.verb is Verb.DELETED
    assert sleeps == [3, 3]


def test_deletion_gives_up_after_its_time_and_says_what_aws_said(iot: IoTClient, control: Control) -> None:
    control.fail("DeleteCertificate", **STILL_ATTACHED, times=0)
    sleeps = Sleeps()
    with pytest.raises(WaitTimeout, match=r"Things must be detached.*Run the same command again"):
        certificates.delete_certificate(iot, somebodys(iot), detached_from=THING, timeout_s=30, poll_s=10, sleep=sleeps)
    assert sleeps == [10, 10, 10]


def test_deletion_detaches_what_another_run_has_attached_to_its_thing_again(iot: IoTClient) -> None:
    arn = somebodys(iot)
    attach(iot, arn)
    sleeps = Sleeps()
    assert certificates.delete_certificate(iot, arn, detached_from=THING, sleep=sleeps).verb is Verb.DELETED
    assert sleeps == []


def test_a_certificate_that_somebody_deletes_meanwhile_is_absent(iot: IoTClient, control: Control) -> None:
    arn = somebodys(iot)
    control.fail("DescribeCertificate", code="ResourceNotFoundException", status=404)
    control.fail("UpdateCertificate", code="ResourceNotFoundException", status=404)
    control.fail("DeleteCertificate", code="ResourceNotFoundException", status=404, nth=2)
    assert certificates.delete_certificate(iot, arn).verb is Verb.ABSENT


# --- what cut-off runs leave


def orphan_ids(iot: IoTClient, files: CertificateFiles, **options: Any) -> list[str]:
    return [found.id for found in certificates.find_orphans(iot, files, thing_name=THING, **options)]


def test_no_files_and_no_targets_cost_no_call(iot: IoTClient, control: Control, files: CertificateFiles) -> None:
    control.clear_calls()
    assert orphan_ids(iot, files) == []
    assert control.operations() == []


def test_the_attached_certificate_is_no_orphan_and_costs_no_call(
    iot: IoTClient, control: Control, files: CertificateFiles
) -> None:
    attach(iot, set_up(iot, files).get().arn)
    thing = things.find_thing(iot, THING)
    assert thing is not None
    control.clear_calls()
    assert orphan_ids(iot, files, attached=thing.principals) == []
    assert control.operations() == []


def test_a_certificate_on_disk_that_hangs_on_nothing_is_an_orphan(iot: IoTClient, files: CertificateFiles) -> None:
    certificate_id = set_up(iot, files).name
    assert orphan_ids(iot, files) == [certificate_id]


def test_the_certificate_of_another_thing_is_no_orphan(iot: IoTClient, files: CertificateFiles) -> None:
    attach(iot, set_up(iot, files).get().arn, "lamp-2")
    assert orphan_ids(iot, files) == []


def test_the_certificate_that_the_settings_name_is_no_orphan(iot: IoTClient, files: CertificateFiles) -> None:
    arn = somebodys(iot)
    set_up(iot, files, existing_arn=arn)
    assert orphan_ids(iot, files, existing_arn=arn) == []


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("has_stale_file", [True, False])
def test_the_certificate_of_a_key_without_file_is_an_orphan(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey, is_active: bool, has_stale_file: bool
) -> None:
    orphan = request_for(iot, key, is_active=is_active)
    if has_stale_file:
        files.certificate_path.write_text(stale_certificate_of(key))
    assert orphan_ids(iot, files) == [orphan.id]


def test_the_things_certificate_whose_file_is_lost_is_no_orphan(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    attach(iot, request_for(iot, key).arn)
    thing = things.find_thing(iot, THING)
    assert thing is not None
    assert orphan_ids(iot, files, attached=thing.principals) == []


@pytest.mark.parametrize(
    ("is_active", "is_ours", "on_thing", "is_orphan"),
    [(False, True, False, True), (True, True, False, False), (False, True, True, False), (False, False, False, False)],
    ids=["half-deleted", "active", "on-another-thing", "not-requested-by-this-tool"],
)
def test_a_policys_target_is_an_orphan_when_its_deletion_was_cut_off(
    iot: IoTClient,
    files: CertificateFiles,
    tmp_path: Path,
    is_active: bool,
    is_ours: bool,
    on_thing: bool,
    is_orphan: bool,
) -> None:
    if is_ours:
        arn = request_for(iot, keys.create_private_key(tmp_path / "lost" / "key.pem"), is_active=is_active).arn
    else:
        arn = iot.create_keys_and_certificate(setAsActive=is_active)["certificateArn"]
    if on_thing:
        attach(iot, arn, "lamp-2")
    group_arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lamps"
    expected = [arn.rpartition("/")[2]] if is_orphan else []
    assert orphan_ids(iot, files, policy_targets=[group_arn, arn]) == expected


# --- local files


def test_deleting_local_files_takes_all_that_was_made_here(
    iot: IoTClient, files: CertificateFiles, key: keys.PrivateKey
) -> None:
    files.certificate_path.write_text(stale_certificate_of(key))
    set_up(iot, files)
    folder_path = files.private_key_path.parent
    (folder_path / ".private.pem.abc.part").touch()
    outcome = certificate_files.delete_local(files)
    assert (outcome.noun, outcome.verb, outcome.name) == ("files", Verb.DELETED, str(folder_path))
    assert outcome.detail.startswith("private.pem, public.pem, device.pem, device.")
    assert not folder_path.exists()


def test_deleting_local_files_leaves_what_is_not_ours(iot: IoTClient, files: CertificateFiles) -> None:
    set_up(iot, files)
    notes_path = files.private_key_path.with_name("device.notes.pem")
    notes_path.write_text("mine")
    certificate_files.delete_local(files)
    assert contents(files) == {"device.notes.pem": b"mine"}


def test_deleting_local_files_that_are_not_there_is_success(files: CertificateFiles) -> None:
    assert certificate_files.delete_local(files).verb is Verb.ABSENT


# --- listing


def test_list_yields_every_certificate_newest_first_over_several_pages(
    iot: IoTClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "PAGE_SIZE", 2)
    arns = [somebodys(iot) for _ in range(5)]
    listed = list(certificates.list_certificates(iot))
    assert [certificate.arn for certificate in listed] == arns[::-1]
    assert {certificate.status for certificate in listed} == {"ACTIVE"}
    assert all(certificate.created and certificate.public_key is None for certificate in listed)


# --- killed after or before any call, then run again


class Killed(BaseException):
    """What a killed process is to the code under test: nothing after it runs."""


@contextmanager
def killed(iot: IoTClient, when: str, nth: int) -> Iterator[None]:
    """Stop at the nth call: before it is sent, or when AWS has done it and the answer is lost."""
    count = 0

    def stop(**_: object) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed

    event = {"before": "before-call.iot", "after": "after-call.iot"}[when]
    iot.meta.events.register(event, stop)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        iot.meta.events.unregister(event, stop)


def set_up_all(iot: IoTClient, files: CertificateFiles) -> None:
    thing = things.find_thing(iot, THING)
    certificate = make_certificate(iot, decide(iot, files, thing))
    arn = certificate.get().arn
    attaches = thing is None or not thing.is_attached(arn)
    things.make_thing(iot, things.decide_thing(THING, thing, attaches=attaches), arn)
    found = policies.look_at_policy(iot, POLICY, WANTED, None if certificate.verb is Verb.CREATED else arn)
    policies.make_policy(iot, policies.decide_policy(iot, POLICY, found, WANTED, arn, attaches=True), arn)


def clean(iot: IoTClient, files: CertificateFiles) -> None:
    thing = things.find_thing(iot, THING)
    principals = thing.principals if thing else ()
    targets = [] if principals else list(policies.list_policy_targets(iot, POLICY))
    orphans = certificates.find_orphans(iot, files, thing_name=THING, attached=principals, policy_targets=targets)
    arns = [*(principal.arn for principal in principals), *(orphan.arn for orphan in orphans)]
    for arn in arns:
        certificates.deactivate_certificate(iot, arn.rpartition("/")[2])
    detached = things.detach_principals(iot, thing) if thing else None
    for arn in arns:
        certificates.delete_certificate(iot, arn, detached_from=THING)
    policies.delete_policy(iot, POLICY)
    things.delete_thing(iot, THING, detached)


SET_UP_CALLS = [
    "DescribeThing",
    "CreateCertificateFromCsr",
    "CreateThing",
    "AttachThingPrincipal",
    "GetPolicy",
    "CreatePolicy",
    "AttachPolicy",
]
CLEAN_CALLS = [
    "DescribeThing",
    "ListThingPrincipalsV2",
    "UpdateCertificate",
    "DetachThingPrincipal",
    "DeleteCertificate",
    "DeletePolicy",
    "DeleteThing",
]


def test_setting_up_and_cleaning_make_the_calls_that_are_cut_off_below(
    iot: IoTClient, control: Control, files: CertificateFiles
) -> None:
    set_up_all(iot, files)
    assert control.operations(clear=True) == SET_UP_CALLS
    clean(iot, files)
    assert control.operations() == CLEAN_CALLS


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, len(SET_UP_CALLS) + 1), ids=SET_UP_CALLS)
def test_a_set_up_killed_at_any_call_ends_the_same_when_repeated(
    iot: IoTClient, files: CertificateFiles, nth: int, when: str
) -> None:
    with killed(iot, when, nth):
        set_up_all(iot, files)
    set_up_all(iot, files)
    (certificate,) = certificates.list_certificates(iot)
    assert certificate.status == "ACTIVE"
    assert certificate.id == id_on_disk(files)
    found = certificates.find_certificate(iot, certificate.id)
    assert found is not None
    assert found.public_key == key_on_disk(files)
    thing = things.find_thing(iot, THING)
    assert thing is not None
    assert thing.is_ours
    assert thing.principals == (things.Principal(certificate.arn, things.EXCLUSIVE),)
    assert list(policies.list_policy_targets(iot, POLICY)) == [certificate.arn]
    assert sorted(contents(files)) == ["device.pem", "private.pem", "public.pem"]


@pytest.mark.parametrize("nth", range(1, len(SET_UP_CALLS) + 1), ids=SET_UP_CALLS)
def test_a_set_up_killed_at_any_call_is_cleaned_away(iot: IoTClient, files: CertificateFiles, nth: int) -> None:
    with killed(iot, "after", nth):
        set_up_all(iot, files)
    clean(iot, files)
    assert_nothing_left(iot)


@pytest.mark.parametrize("has_files", [True, False], ids=["with-files", "without-files"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, len(CLEAN_CALLS) + 1), ids=CLEAN_CALLS)
def test_a_clean_killed_at_any_call_ends_clean_when_repeated(
    iot: IoTClient, files: CertificateFiles, nth: int, when: str, has_files: bool
) -> None:
    set_up_all(iot, files)
    if not has_files:
        certificate_files.delete_local(files)
    with killed(iot, when, nth):
        clean(iot, files)
    clean(iot, files)
    assert_nothing_left(iot)


def assert_nothing_left(iot: IoTClient) -> None:
    assert things.find_thing(iot, THING) is None
    assert list(certificates.list_certificates(iot)) == []
    assert list(policies.list_policies(iot)) == []


def test_a_certificate_whose_file_could_not_be_written_is_adopted_afterwards(
    iot: IoTClient, files: CertificateFiles, tmp_path: Path
) -> None:
    folder_path = tmp_path / "elsewhere"
    folder_path.symlink_to(tmp_path / "nowhere")
    files = CertificateFiles(files.private_key_path, files.public_key_path, folder_path / "device.pem")
    with pytest.raises(CertificateError, match=f"{files.certificate_path} cannot be written"):
        set_up(iot, files)
    folder_path.unlink()
    assert set_up(iot, files).detail.startswith("adopted")
    assert all_ids(iot) == {id_on_disk(files)}


def test_throttled_calls_are_repeated_by_the_client(
    clean_sandbox: Address, control: Control, files: CertificateFiles
) -> None:
    from botocore.config import Config

    patient = client("iot", clean_sandbox, config=Config(retries={"mode": "standard", "total_max_attempts": 3}))
    control.fail("*", kind="throttling", times=1)
    assert set_up(patient, files).verb is Verb.CREATED


def test_the_id_is_what_aws_says(iot: IoTClient) -> None:
    created = iot.create_keys_and_certificate()
    assert certificate_files.certificate_id_of(created["certificatePem"]) == created["certificateId"]


def test_keys_that_are_too_short_never_reach_aws(iot: IoTClient, control: Control, files: CertificateFiles) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it must be refused
    files.private_key_path.parent.mkdir()
    files.private_key_path.write_bytes(short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    control.clear_calls()
    with pytest.raises(CertificateError):
        set_up(iot, files)
    assert "CreateCertificateFromCsr" not in control.operations()
