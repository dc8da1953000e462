"""What each setting means, in a few words: the help of its flag, and a row of the README.

Apart from ``fields.py``, where a setting's default, check and reader stand, so that listing the tasks, which needs no
more than this, stays as quick as invoke itself.
"""

MEANINGS = {
    "thing_name": "name of the IoT thing, and of the device",
    "permissions_boundary": "ARN of the IAM policy that bounds the role, where the account demands one",
    "role_prefix": "first part of the role's name, where the account demands one",
    "target_application": "firmware application: keyword-detection, object-detection, speech-recognition, or another "
    "of the tree",
    "format_vars": "names that values may refer to, separated by ; (empty: all)",
    "policy_name": "name of the IoT policy",
    "bucket_name": "name of the S3 bucket for images, unique in the world",
    "iam_role_name": "name of the IAM role that the OTA service assumes",
    "update_name": "name of the OTA update",
    "existing_certificate_arn": "CREATE_NEW_CERTIFICATE, or the ARN of a certificate to use instead",
    "credentials_path": "folder of the device's key and certificate",
    "build_dir": "folder of the build, in firmware_root",
    "ota_binary": "signed image of the update, in build_dir",
    "skip_build": "true: take the image that is there",
    "build_script_path": "the firmware's build script, in firmware_root",
    "private_key_path": "device's private key",
    "certificate_path": "device's certificate",
    "target_platform": "build script's --target: corstone300, corstone310, corstone315, corstone320",
    "inference": "build script's --inference: ETHOS or SOFTWARE",
    "audio": "build script's --audio: ROM or VSI",
    "toolchain": "build script's --toolchain: GNU or ARMCLANG",
    "clean_build": "build from clean: true, false, auto (only when needed)",
    "max_listed": "how many objects a list shows",
    "force_delete": "true: delete tasks act as if --force were given",
    "firmware_root": "root of the firmware tree",
    "build_environment": "variables that the build script gets too, separated by ;, of AWS_…, OTA_… and those in .env "
    "(empty: none)",
    "public_key_path": "device's public key",
    "firmware_profile": "what the device's firmware parses: corstone, jobs-library or classic-agent",
    "protocols": "how the device may load the image: MQTT, HTTP or MQTT,HTTP (the device chooses)",
    "image_file_name": "what the image is on the device; for Arm's firmware non_secure image, secure image, "
    "ml_model image, combined image (empty: as firmware_profile has it)",
    "certificate_file_on_device": "path of the signer's certificate on the device, where its firmware opens one "
    "(empty: as firmware_profile has it)",
    "signature_file": "image's signature as base64 text, in build_dir",
    "hash_algorithm": "hash that the signature signs: SHA256",
    "signature_algorithm": "kind of the signing key: RSA or ECDSA (empty: as firmware_profile has it)",
    "code_signing_public_key": "public key that proves the signature, in firmware_root",
    "update_timeout_s": "seconds to wait until AWS has made the update",
    "delete_timeout_s": "seconds to wait until AWS has deleted the update",
    "role_settle_timeout_s": "seconds to let a new role settle in IAM",
    "lock_timeout_s": "seconds to wait for another run from this folder or in this firmware tree",
    "replace_running_update": "true: replace even an update that a device is downloading right now",
    "overwrite_header": "values put into the firmware's header by hand: ask, true (overwrite), false (keep)",
}
