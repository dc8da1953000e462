"""The one door to AWS: a session, lazy clients, who we are, and retries.

Nothing else makes clients, so that everything about reaching AWS stands here once: which credentials (boto3's own
chain), which region (``AWS_REGION`` counts as well as ``AWS_DEFAULT_REGION``), which endpoint, how often to try again.
No call leaves this machine unencrypted. Clients are made on first use and shared between threads; each notes service
and object of a failed call in its error, for ``errors.from_boto`` to name.

In sandbox scope everything is given explicitly (dummy keys, endpoint, region, no profile, no proxy), so that nothing
in the user's environment can lead a call to a real account.

Source: boto3 credentials and retries guides; STS GetCallerIdentity.


Answers that are not AWS's: cut off on their way, or given by something in between.

botocore takes a web page with status 200, or an answer whose end is missing, for one with no members, and the code
that looks for a member then fails far from the cause. So every answer is held against its protocol before botocore
reads it. One with status 500 and above is left to botocore, which asks again.

Source: botocore's ``parsers`` and its event ``before-parse``; the AWS protocols rest-json, rest-xml and query.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from ota.aws_calls import Retries
from ota.environment import check_encrypted, check_pairs, checked_endpoint, checked_region
from ota.errors import CloudError, CredentialsError
from ota.messages import command

if TYPE_CHECKING:
    import boto3
    from botocore.model import OperationModel
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient


MAX_ATTEMPTS = 8
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
SIGNING_REGION = "SigningRegion"  # member of an answer's ResponseMetadata
MAX_CONNECTIONS = 64  # `list` asks for seven nouns at once, each eight side by side
NAMING_PARAMETERS = (
    "otaUpdateId",
    "thingName",
    "policyName",
    "certificateId",
    "jobId",
    "streamId",
    "Bucket",
    "RoleName",
    "resourceArn",
)


def open_cloud(environ: Mapping[str, str]) -> Cloud:
    """The AWS account that the environment's credentials lead to.

    Raises:
        CredentialsError: no region, no credentials, or half of them; an endpoint that is not to be used.
    """
    import boto3
    from botocore.exceptions import PartialCredentialsError, ProfileNotFound

    check_pairs(environ)
    endpoint_url = checked_endpoint(environ)
    try:
        session = boto3.Session(region_name=environ.get("AWS_REGION") or None)
        credentials = session.get_credentials()
    except ProfileNotFound as error:
        raise CredentialsError(
            f"AWS_PROFILE names {environ.get('AWS_PROFILE')!r}, and there is no such profile: "
            "choose one from `aws configure list-profiles`, or unset AWS_PROFILE."
        ) from error
    except PartialCredentialsError as error:
        raise CredentialsError(
            f"AWS credentials are half set ({error}): set the missing part in .env or in the environment."
        ) from error
    if credentials is None:
        raise CredentialsError(
            "No AWS credentials found: write them into .env (",
            command("init"),
            " makes one), set AWS_PROFILE, or put `sandbox` first to use the local stand-in (",
            command("sandbox").then("all"),
            ").",
        )
    return Cloud(session, checked_region(session.region_name), endpoint_url)


def open_sandbox(endpoint_url: str, region: str) -> Cloud:
    """The local stand-in at ``endpoint_url``; reads nothing of the user's AWS configuration."""
    import boto3
    import botocore.session

    isolated = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    session = boto3.Session(
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",  # noqa: S106 - a dummy, so that no real key can be used
        region_name=region,
        botocore_session=isolated,
    )
    return Cloud(session, region, endpoint_url, is_sandbox=True)


class Cloud:
    """One account in one region. Clients are made on first use; safe to share between threads.

    Attributes:
        region: for example ``eu-west-1``.
        endpoint_url: where calls go, when that is not AWS itself.
        is_sandbox: whether this is the local stand-in.
    """

    def __init__(
        self, session: boto3.Session, region: str, endpoint_url: str | None, *, is_sandbox: bool = False
    ) -> None:
        self.region = region
        self.endpoint_url = endpoint_url
        self.is_sandbox = is_sandbox
        self._session = session
        self._clients: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._retries = Retries()
        # Of their own, for they are held while an answer is awaited.
        self._caller_lock, self._endpoint_lock = threading.Lock(), threading.Lock()

    @property
    def iot(self) -> IoTClient:
        """AWS IoT's control plane."""
        client: IoTClient = self._client("iot")
        return client

    @property
    def s3(self) -> S3Client:
        """S3, in this region."""
        client: S3Client = self._client("s3")
        return client

    @property
    def iam(self) -> IAMClient:
        """IAM, which is global."""
        client: IAMClient = self._client("iam")
        return client

    @property
    def sts(self) -> STSClient:
        """STS, in this region."""
        client: STSClient = self._client("sts")
        return client

    @cached_property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``: the second part of every ARN."""
        return self._session.get_partition_for_region(self.region)

    @property
    def account_id(self) -> str:
        """The twelve digits of the account; asked once."""
        return self.caller[0]

    @property
    def account_name(self) -> str:
        """Which account and region this is, told from the same numbers in the stand-in."""
        return f"{'sandbox ' if self.is_sandbox else ''}{self.account_id} {self.region}"

    @property
    def caller_arn(self) -> str:
        """Who we are, as an ARN; asked once."""
        return self.caller[1]

    @property
    def caller(self) -> tuple[str, str]:
        """Account id and our own ARN, from one GetCallerIdentity."""
        with self._caller_lock:
            return self._caller

    @cached_property
    def _caller(self) -> tuple[str, str]:
        identity = self.sts.get_caller_identity()
        return identity["Account"], identity["Arn"]

    @property
    def credentials_expiry(self) -> datetime | None:
        """When the credentials end, where botocore knows: for those of a role or of a sign-in."""
        return getattr(self._session.get_credentials(), "_expiry_time", None)

    @property
    def data_endpoint(self) -> str:
        """The host name that devices of this account connect to; asked once. Source: DescribeEndpoint."""
        with self._endpoint_lock:
            return self._data_endpoint

    @cached_property
    def _data_endpoint(self) -> str:
        return self.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]

    def read_lines(self, link: str) -> Iterator[bytes]:
        """The lines behind a presigned link, as they arrive. No error has the link in it, because it is a secret.

        Raises:
            CloudError: it cannot be read, or ends early; by then some lines may have been yielded.
        """
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import HTTPClientError
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies
        from urllib3.exceptions import HTTPError

        check_encrypted(link, "a link from AWS")
        session = URLLib3Session(
            verify=self._session._session.get_config_variable("ca_bundle") or True,
            proxies={} if self.is_sandbox else get_environ_proxies(link),
            timeout=READ_TIMEOUT_S,
        )
        try:
            answer = session.send(AWSRequest("GET", link, stream_output=True).prepare())
            if answer.status_code >= FIRST_ERROR:
                raise _unreadable_link(f"status {answer.status_code}")
            yield from answer.raw
        except (HTTPClientError, HTTPError) as error:
            raise _unreadable_link(type(error).__name__) from None
        finally:
            session.close()

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make_client(service)
            return self._clients[service]

    def _make_client(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(
            retries={"mode": "adaptive", "max_attempts": MAX_ATTEMPTS},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=MAX_CONNECTIONS,
            user_agent_extra="ota-tasks",
        )
        if self.is_sandbox:
            config = config.merge(Config(proxies={}, s3={"addressing_style": "path"}))
        client = self._session.client(
            service,  # type: ignore[call-overload]
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            config=config,
        )
        # botocore makes these classes on first use, and two threads at once would get a set each, neither catching.
        _ = client.exceptions
        client.meta.events.register("before-parameter-build", _note_object)
        client.meta.events.register("after-call", _name_failed_call)
        client.meta.events.register("after-call", note_signing_region)
        client.meta.events.register("before-parse", refuse_broken)
        self._retries.attach(client)
        client.meta.events.register("before-send", _refuse_unencrypted)
        return client


def _unreadable_link(why: str) -> CloudError:
    return CloudError(
        f"What AWS has put behind a link cannot be read ({why}). Check the network, then run the same command again; "
        "it carries on where it stopped."
    )


def _refuse_unencrypted(request: Any, **_: object) -> None:
    """The last look before a request leaves, whatever chose its URL: a profile's endpoint, or S3's redirect."""
    check_encrypted(request.url, "the endpoint_url of your AWS configuration")


def _note_object(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    names = [str(params[key]) for key in NAMING_PARAMETERS if key in params]
    context["ota_object"] = names[0] if names else ""


def note_signing_region(parsed: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    """Note in an answer the region that its call was signed for; S3's may be another than the client's.

    botocore follows a bucket to its region, in each call or by what it learned from one before.
    """
    parsed.setdefault("ResponseMetadata", {})[SIGNING_REGION] = context.get("signing", {}).get("region")


def _name_failed_call(parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: object) -> None:
    if "Error" in parsed:
        parsed["Error"]["Service"] = model.service_model.service_name
        parsed["Error"]["Object"] = context.get("ota_object", "")


SERVER_ERROR = 500
FIRST_ERROR = 300
NO_CONTENT = 204
JSON_PROTOCOL = "rest-json"
QUERY_PROTOCOL = "query"
WEB_PAGE = "html"


def refuse_broken(response_dict: dict[str, Any], operation_model: OperationModel, **_: object) -> None:
    """Let an answer pass that its protocol allows; a handler of ``before-parse``.

    Args:
        response_dict: botocore's ``status_code``, ``headers`` and ``body``; the body of a server's error that cannot
            be read is emptied, so that botocore asks again.
        operation_model: what was asked.

    Raises:
        CloudError: the answer is cut off, or something else's.
    """
    body, status = response_dict["body"], response_dict["status_code"]
    if not isinstance(body, bytes) or _is_raw(operation_model):
        return
    if body.strip():
        is_good = _is_readable(body, operation_model)
    else:
        is_good = not _must_say_something(status, response_dict["headers"], operation_model)
    if not is_good and status >= SERVER_ERROR:
        response_dict["body"] = b""
    elif not is_good:
        raise _refusal(status, response_dict["headers"], operation_model)


def _is_raw(model: OperationModel) -> bool:
    """Whether the answer's body is the thing that was asked for, in no form of the protocol's."""
    shape = model.output_shape
    payload = shape.serialization.get("payload") if shape else None
    return shape is not None and payload is not None and shape.members[payload].type_name in {"blob", "string"}


def _is_readable(body: bytes, model: OperationModel) -> bool:
    try:
        if _protocol(model) == JSON_PROTOCOL:
            return isinstance(json.loads(body), dict)
        return ET.fromstring(body).tag.lower() != WEB_PAGE  # noqa: S314 - botocore reads it the same way
    except (ValueError, ET.ParseError):
        return False


def _must_say_something(status: int, headers: Any, model: OperationModel) -> bool:
    """Whether an empty body cannot be right: something is asked for, and the headers do not say that it is empty."""
    if status >= FIRST_ERROR or status == NO_CONTENT:
        return False
    is_told = headers.get("content-length") == "0" or "transfer-encoding" in headers
    shape = model.output_shape
    members = shape.members.values() if shape else ()
    is_asked = any("location" not in member.serialization for member in members)
    return not is_told and (is_asked or _protocol(model) == QUERY_PROTOCOL)


def _protocol(model: OperationModel) -> str:
    return str(model.service_model.metadata.get("protocol", ""))


def _refusal(status: int, headers: Any, model: OperationModel) -> CloudError:
    kind = headers.get("content-type", "")
    said = f"status {status}, {kind}" if kind else f"status {status}"
    return CloudError(
        f"The answer to {model.service_model.service_name}:{model.name} is not one of AWS ({said}): it was cut off, or "
        "something in between gave it, such as a proxy or a network's sign-in page. Check the network and "
        "AWS_ENDPOINT_URL, then run the same command again; it carries on where it stopped."
    )
