"""The table of settings: one row for each setting.

A row is both the description of a setting and the typed attribute of :class:`ota.settings.settings.Settings`:
``Settings.bucket_name`` is the row, ``settings.bucket_name`` is the value. A new setting is its row here, its line in
config.json and the code that uses it. The rows of Arm's settings file come first, in its order.

A row is the only place of a default. Defaults may refer to other settings, as any value may.

Listing the tasks reads this module, for the flags of ``with``. So it imports nothing that takes time.

Source: Arm's ``createIoTThings_settings.json`` and ``aws_tool.md``; ``AWSIoTHelpers.cmake`` for the signing key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ota.settings import names
from ota.settings.readers import (
    CREATE_NEW_CERTIFICATE,
    read_abort_criteria,
    read_certificate,
    read_choice,
    read_clean_build,
    read_count,
    read_factor,
    read_flag,
    read_number_within,
    read_optional,
    read_optional_path,
    read_overwrite_header,
    read_profile,
    read_protocols,
    read_seconds,
    read_targets,
    read_variables,
    read_words,
    split_names,
)
from ota.settings.setting import IN_TREE, RESET, Base, Setting, Values, kept, moved_to, stand_in

MOST_PER_MINUTE = 1000
MOST_OF_A_STAGE = 2**31 - 1

_NO_COLON = "{replace : with -}"


class ArmSettings(Values):
    """The settings of Arm's file, in its order."""

    thing_name = Setting(
        str,
        "name of the IoT thing, and of the device",
        shipped="<your_thing_name>",
        example="my-thing",
        check=names.thing_name_problem,
        sandbox=stand_in("sandbox-thing"),
    )
    permissions_boundary = Setting(
        read_optional,
        "ARN of the IAM policy that bounds the role, where the account demands one",
        shipped="arn:aws:iam::<account_no>:policy/<boundary_name>",
        check=names.boundary_problem,
    )
    role_prefix = Setting(
        str,
        "first part of the role's name, where the account demands one",
        shipped="<prefix>",
        check=names.role_prefix_problem,
    )
    target_application = Setting(
        str,
        "firmware application: keyword-detection, object-detection, speech-recognition, or another of the tree",
        example="keyword-detection",
        check=names.application_problem,
        sandbox=stand_in("keyword-detection"),
    )
    format_vars = Setting(split_names, "names that values may refer to, separated by ; (empty: all)")
    policy_name = Setting(
        str,
        "name of the IoT policy",
        "$<thing_name>_policy",
        check=names.policy_name_problem,
        tidy=names.tidy_policy_name,
        filters=_NO_COLON,
    )
    bucket_name = Setting(
        str,
        "name of the S3 bucket for images, unique in the world",
        "$<thing_name>{lower}{replace _ with -}{replace : with -}-ota-$<account_id>",
        check=names.bucket_name_problem,
        tidy=names.tidy_bucket_name,
        filters="{lower}{replace _ with -}" + _NO_COLON,
    )
    iam_role_name = Setting(
        str,
        "name of the IAM role that the OTA service assumes",
        "$<role_prefix>-$<thing_name>_role",
        check=names.role_name_problem,
        tidy=names.tidy_role_name,
        filters=_NO_COLON,
    )
    update_name = Setting(
        str,
        "name of the OTA update",
        "$<thing_name>_update",
        check=names.update_name_problem,
        tidy=names.tidy_update_name,
        filters=_NO_COLON,
    )
    existing_certificate_arn = Setting(
        read_certificate,
        "CREATE_NEW_CERTIFICATE, or the ARN of a certificate to use instead",
        CREATE_NEW_CERTIFICATE,
        check=names.certificate_arn_problem,
        sandbox=RESET,
    )
    credentials_path = Setting(
        Path,
        "folder of the device's key and certificate",
        "certificates",
        base=Base.ROOT,
        sandbox=moved_to("certificates"),
    )
    build_dir = Setting(
        Path, "folder of the build, in firmware_root", "build", base=Base.FIRMWARE, sandbox=IN_TREE, for_firmware=True
    )
    ota_binary = Setting(
        str,
        "signed image of the update, in build_dir",
        "$<target_application>-update_signed.bin",
        example="firmware.bin",
        base=Base.BUILD,
        sandbox=kept("it is only read, and a relative name is in the sandbox's own build_dir"),
        for_firmware=True,
    )
    skip_build = Setting(read_flag, "true: take the image that is there", "false")
    build_script_path = Setting(
        Path,
        "the firmware's build script, in firmware_root",
        "./tools/scripts/build.sh",
        base=Base.FIRMWARE,
        sandbox=IN_TREE,
        for_firmware=True,
    )
    private_key_path = Setting(
        Path,
        "device's private key",
        "$<credentials_path>/thing_private_key_$<thing_name>.pem.key",
        base=Base.ROOT,
        sandbox=RESET,
    )
    certificate_path = Setting(
        Path,
        "device's certificate",
        "$<credentials_path>/thing_certificate_$<thing_name>.pem.crt",
        base=Base.ROOT,
        sandbox=RESET,
    )
    target_platform = Setting(
        str,
        "build script's --target: corstone300, corstone310, corstone315, corstone320",
        "corstone315",
        check=names.word_problem,
    )
    inference = Setting(str, "build script's --inference: ETHOS or SOFTWARE", "SOFTWARE", check=names.word_problem)
    audio = Setting(str, "build script's --audio: ROM or VSI", "ROM", check=names.word_problem)
    toolchain = Setting(str, "build script's --toolchain: GNU or ARMCLANG", "GNU", check=names.word_problem)
    clean_build = Setting(read_clean_build, "build from clean: true, false, auto (only when needed)", "auto")
    max_listed = Setting(read_count, "how many objects a list shows", "25")
    force_delete = Setting(read_flag, "true: delete tasks act as if --force were given", "false")


class DeclaredSettings(ArmSettings):
    """Every setting: those of Arm's file, and those that are new here."""

    firmware_root = Setting(
        Path, "root of the firmware tree", ".", base=Base.ROOT, sandbox=moved_to("firmware")._replace(is_of_tree=True)
    )
    build_command = Setting(
        read_words,
        "a build other than build_script_path: a line or a list, run in firmware_root (empty: as firmware_profile has "
        "it)",
        by_profile=True,
        for_firmware=True,
    )
    clean_command = Setting(
        read_words,
        "what runs before build_command for a build from clean (empty: as firmware_profile has it)",
        by_profile=True,
        for_firmware=True,
    )
    header_path = Setting(
        read_optional_path,
        "file from which the build takes endpoint and thing name, in firmware_root (empty: as firmware_profile has it)",
        base=Base.FIRMWARE,
        sandbox=IN_TREE,
        by_profile=True,
        for_firmware=True,
    )
    header_endpoint_define = Setting(
        str,
        "name under which header_path defines the endpoint (empty: as firmware_profile has it)",
        check=names.define_problem,
        by_profile=True,
    )
    header_thing_define = Setting(
        str,
        "name under which header_path defines the thing name (empty: as firmware_profile has it)",
        check=names.define_problem,
        by_profile=True,
    )
    header_template = Setting(
        read_optional_path,
        "template that header_path is made from, with references such as $<endpoint> (empty: none)",
        base=Base.ROOT,
        sandbox=kept("it is only read"),
    )
    build_environment = Setting(
        read_variables,
        "variables that the build script gets too, separated by ;, of AWS_…, OTA_… and those in .env (empty: none)",
    )
    public_key_path = Setting(
        Path,
        "device's public key",
        "$<credentials_path>/thing_public_key_$<thing_name>.pem.key",
        base=Base.ROOT,
        sandbox=RESET,
    )
    thing_group_name = Setting(
        str,
        "name of the thing group that gets the update, and into which `register` puts devices (empty: no group)",
        check=names.group_name_problem,
    )
    update_targets = Setting(
        read_targets,
        "who gets the update instead: things, group:NAME and ARNs of both, separated by ; (empty: the group of "
        "thing_group_name, else the thing)",
    )
    target_selection = Setting(
        read_choice("SNAPSHOT", "CONTINUOUS"),
        "SNAPSHOT: who is in the group when the update begins; CONTINUOUS: also who joins later",
        "SNAPSHOT",
    )
    rollout_per_minute = Setting(
        read_number_within(1, MOST_PER_MINUTE),
        "to how many devices a minute the update is sent at most, 1 to 1000 (empty: as fast as AWS does)",
    )
    rollout_start_per_minute = Setting(
        read_number_within(1, MOST_PER_MINUTE),
        "devices a minute at the beginning of a rollout in stages, 1 to 1000 (empty: no stages)",
    )
    rollout_factor = Setting(read_factor, "how many times faster each stage is than the one before, 1.1 to 5")
    rollout_after_notified = Setting(
        read_number_within(1, MOST_OF_A_STAGE), "a stage ends after so many devices more were sent the update"
    )
    rollout_after_succeeded = Setting(
        read_number_within(1, MOST_OF_A_STAGE), "a stage ends after so many devices more have taken the update"
    )
    abort_when = Setting(
        read_abort_criteria,
        "when AWS stops a rollout, such as FAILED 10% after 20; TIMED_OUT 25% after 50 (of so many that have finished)",
    )
    in_progress_timeout_minutes = Setting(
        read_number_within(1, 7 * 24 * 60),
        "minutes that a device has for the update once it has begun, 1 to 10080 (empty: no limit)",
    )
    device_key_type = Setting(
        read_choice("RSA-2048", "EC-P256"), "kind of the keys that `register` makes: RSA-2048 or EC-P256", "RSA-2048"
    )
    registration_role_name = Setting(
        str,
        "name of the IAM role that AWS IoT assumes to register devices",
        "$<role_prefix>-$<thing_name>_registration_role",
        check=names.role_name_problem,
        tidy=names.tidy_role_name,
        filters=_NO_COLON,
    )
    firmware_profile = Setting(
        read_profile,
        "what the device's firmware parses: corstone, jobs-library, classic-agent, esp32, or a profile's JSON file",
        "corstone",
    )
    protocols = Setting(
        read_protocols, "how the device may load the image: MQTT, HTTP or MQTT,HTTP (the device chooses)", "MQTT"
    )
    image_file_name = Setting(
        str,
        "what the image is on the device; for Arm's firmware non_secure image, secure image, ml_model image, "
        "combined image (empty: as firmware_profile has it)",
        by_profile=True,
    )
    certificate_file_on_device = Setting(
        str,
        "path of the signer's certificate on the device, where its firmware opens one (empty: as firmware_profile "
        "has it)",
        by_profile=True,
    )
    signature_file = Setting(
        str,
        "image's signature as base64 text, in build_dir",
        "update-signature.txt",
        base=Base.BUILD,
        sandbox=kept("it is only read, and a relative name is in the sandbox's own build_dir"),
        for_firmware=True,
    )
    hash_algorithm = Setting(read_choice("SHA256"), "hash that the signature signs: SHA256", by_profile=True)
    signature_algorithm = Setting(
        read_choice("RSA", "ECDSA"),
        "kind of the signing key: RSA or ECDSA (empty: as firmware_profile has it)",
        by_profile=True,
    )
    code_signing_public_key = Setting(
        Path,
        "public key that proves the signature, in firmware_root",
        "certs/public_key.pem",
        base=Base.FIRMWARE,
        sandbox=IN_TREE,
        for_firmware=True,
    )
    update_timeout_s = Setting(read_seconds, "seconds to wait until AWS has made the update", "60")
    delete_timeout_s = Setting(read_seconds, "seconds to wait until AWS has deleted the update", "120")
    role_settle_timeout_s = Setting(read_seconds, "seconds to let a new role settle in IAM", "60")
    lock_timeout_s = Setting(
        read_seconds, "seconds to wait for another run from this folder or in this firmware tree", "900"
    )
    existing_device = Setting(
        read_flag,
        "true: thing, certificate and policy of the device exist; they are checked, and never made, changed or deleted",
        "false",
    )
    replace_running_update = Setting(
        read_flag, "true: replace even an update that a device is downloading right now", "false"
    )
    overwrite_header = Setting(
        read_overwrite_header,
        "values put into the firmware's header by hand: ask, true (overwrite), false (keep)",
        "ask",
    )


def rows_of(declared: type) -> tuple[Setting[Any], ...]:
    """The rows that this class declares itself, in their order."""
    return tuple(row for row in vars(declared).values() if isinstance(row, Setting))


SETTINGS = {row.name: row for row in (*rows_of(ArmSettings), *rows_of(DeclaredSettings))}


def default_text(name: str, values: Mapping[str, str]) -> str:
    """The default of a setting, its references filled from ``values`` and the text made valid."""
    from ota.settings.formatter import format_text

    row = SETTINGS[name]
    return row.tidy(format_text(row.default, values))
