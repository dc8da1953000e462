"""The records of all nouns: names, lists, deletion by name, order, and the operator's permissions.

`list`, `delete`, `permissions` and the order of `plan`, `all` and `clean` are driven from these records. A new noun is
its module, its record here, its task in tasks.py, its test, and the setting that names it.

Source: Service Authorization Reference for AWS IoT, S3 and IAM (actions, resource types).
"""

from __future__ import annotations

from collections.abc import Iterable

from ota.records import Deleted, Grant, Lazy, Line, Listed, Noun, in_order

PRUNE_CERTIFICATES = "Delete its certificates too, where they are attached to nothing else."
ROLES = ("{iam}:role/{iam_role_name}", "{iam}:role/{registration_role_name}")
DEVICE_THINGS = ("{iot}:thing/{devices}", "{iot}:thing/{target_thing}")
BY_PATTERN = "by pattern also what this tool did not make."

THING = Noun(
    "thing",
    "things",
    setting="thing_name",
    set_up=20,
    teardown=60,
    task="thing",
    listed=Listed(
        "List the IoT things, with their certificates.",
        {"certificates": "certificates"},
        Lazy("ota.manage.rows:thing_rows"),
        fill=Lazy("ota.manage.rows:fill_thing"),
        order="name",
        is_dated=False,
    ),
    deleted=Deleted(
        "Delete an IoT thing by its name; its certificates stay, unless pruned.",
        f"Delete it even while its device works on an update; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_thing"),
        prune_help=PRUNE_CERTIFICATES,
        attached_to=Lazy("ota.manage.removals:certificates_of_thing"),
        prune=Lazy("ota.manage.removals:prune_thing"),
    ),
    everywhere={"iot:ListThings": "list delete register group clean"},
    grants=(
        Grant(
            "Thing",
            ("{iot}:thing/{thing_name}",),
            {
                "iot:CreateThing": "thing",
                "iot:DescribeThing": "thing look clean list delete",
                "iot:DeleteThing": "clean delete",
                "iot:ListJobExecutionsForThing": "look clean delete",
                "iot:ListThingPrincipals": "thing look clean list delete",
                "iot:ListThingPrincipalsV2": "thing look clean list delete",
            },
        ),
    ),
)
POLICY = Noun(
    "policy",
    "policies",
    setting="policy_name",
    set_up=40,
    teardown=50,
    task="policy",
    needs=("thing",),
    listed=Listed(
        "List the IoT policies, with what they are attached to.",
        {"attached_to": "attached to"},
        Lazy("ota.manage.rows:policy_rows"),
        mark=Lazy("ota.manage.rows:mark_policy"),
        fill=Lazy("ota.manage.rows:fill_policy"),
        is_dated=False,
    ),
    deleted=Deleted(
        "Delete an IoT policy by its name, with all its versions.",
        f"Detach it first; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_policy"),
        prune_help=f"Detach it first. {PRUNE_CERTIFICATES}",
        attached_to=Lazy("ota.manage.removals:certificates_of_policy"),
        prune=Lazy("ota.manage.removals:prune_policy"),
    ),
    tag_uses="policy register",
    everywhere={"iot:ListPolicies": "list delete"},
    grants=(
        Grant(
            "Policy",
            ("{iot}:policy/{policy_name}",),
            {
                "iot:CreatePolicy": "policy register",
                "iot:GetPolicy": "policy register look clean list delete",
                "iot:DeletePolicy": "clean delete",
                "iot:ListTargetsForPolicy": "look clean list delete",
                "iot:ListTagsForResource": "policy register look clean list delete",
                "iot:CreatePolicyVersion": "policy register",
                "iot:ListPolicyVersions": "policy register clean delete",
                "iot:DeletePolicyVersion": "policy register clean delete",
            },
        ),
    ),
)
CERTIFICATE = Noun(
    "certificate",
    "certificates",
    own_name=Lazy("ota.manage.selections:own_certificate"),
    set_up=10,
    teardown=40,
    listed=Listed(
        "List the certificates: status, expiry, and the things and policies attached to them.",
        {"status": "status", "expires": "expires", "things": "things", "policies": "policies"},
        Lazy("ota.manage.rows:certificate_rows"),
        mark_all=Lazy("ota.manage.rows:mark_certificates"),
        fill=Lazy("ota.manage.rows:fill_certificate"),
        id_title="id",
        shows_date=False,
    ),
    deleted=Deleted(
        "Delete a certificate by its id.",
        f"Detach it from all things and policies first; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_certificate"),
        name_help="ID, its first 8 digits or more, its ARN, or a pattern with * (asks first); repeatable (default: the "
        "one in credentials_path).",
        prune_help="With --force: also delete things and policies that have no other certificate.",
        attached_to=Lazy("ota.manage.removals:attachments_of_certificate"),
        prune=Lazy("ota.manage.removals:prune_certificate"),
    ),
    everywhere={
        "iot:CreateCertificateFromCsr": "thing",
        "iot:GetEffectivePolicies": "policy look",
        "iot:ListAttachedPolicies": "policy look clean list delete",
        "iot:ListCertificates": "thing register look clean list delete",
    },
    grants=(
        Grant(
            "Certificate",
            ("{certificate}",),
            {
                "iot:DescribeCertificate": "thing register look clean list delete",
                "iot:UpdateCertificate": "clean delete",
                "iot:DeleteCertificate": "clean delete",
                "iot:AttachPolicy": "policy register",
                "iot:DetachPolicy": "clean delete",
                "iot:ListPrincipalThings": "thing look clean list delete",
                "iot:ListPrincipalThingsV2": "thing look clean list delete",
            },
        ),
        Grant(
            "CertificateOfThing",
            ("{certificate}",),
            {"iot:AttachThingPrincipal": "thing", "iot:DetachThingPrincipal": "clean delete"},
            condition="thing",
        ),
    ),
)
BUCKET = Noun(
    "bucket",
    "buckets",
    find=Lazy("ota.plan:find_bucket"),
    decide=Lazy("ota.plan:decide_bucket"),
    make=Lazy("ota.set_up:make_bucket"),
    setting="bucket_name",
    set_up=50,
    teardown=20,
    task="bucket",
    made="Create the versioned, private S3 bucket for firmware images.",
    listed=Listed(
        "List the S3 buckets, with region and versioning.",
        {"region": "region", "versioned": "versioned"},
        Lazy("ota.manage.rows:bucket_rows"),
        mark=Lazy("ota.manage.rows:mark_bucket"),
        fill=Lazy("ota.manage.rows:fill_bucket"),
        order="newest",
    ),
    deleted=Deleted(
        "Delete an S3 bucket by its name.",
        f"Delete it with every version of everything in it; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_bucket"),
    ),
    everywhere={"s3:ListAllMyBuckets": "look list delete"},
    grants=(
        Grant(
            "Bucket",
            ("{s3}:::{bucket_name}",),
            {
                "s3:CreateBucket": "bucket",
                "s3:TagResource": "bucket",
                "s3:DeleteBucket": "clean delete",
                "s3:ListBucket": "bucket update look clean list delete",
                "s3:ListBucketVersions": "register look clean delete",
                "s3:ListBucketMultipartUploads": "register look clean delete",
                "s3:GetBucketVersioning": "bucket look clean list",
                "s3:PutBucketVersioning": "bucket",
                "s3:GetBucketTagging": "bucket look clean list delete",
                "s3:PutBucketTagging": "bucket",
                "s3:GetBucketPublicAccessBlock": "bucket look",
                "s3:PutBucketPublicAccessBlock": "bucket",
                "s3:GetBucketPolicy": "bucket look",
                "s3:PutBucketPolicy": "bucket",
            },
        ),
        Grant(
            "Image",
            ("{s3}:::{bucket_name}/*",),
            {
                "s3:PutObject": "update register",
                "s3:GetObject": "update look clean",
                "s3:DeleteObjectVersion": "update register clean delete",
                "s3:AbortMultipartUpload": "update register clean delete",
            },
        ),
    ),
)
ROLE = Noun(
    "role",
    "roles",
    setting="iam_role_name",
    set_up=60,
    teardown=30,
    task="role",
    listed=Listed(
        "List the IAM roles, with their permissions boundaries.",
        {"boundary": "boundary"},
        Lazy("ota.manage.rows:role_rows"),
        mark=Lazy("ota.manage.rows:mark_role"),
        order="newest",
    ),
    deleted=Deleted(
        "Delete an IAM role by its name.",
        f"Delete it with whatever is attached, even while an OTA update needs it; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_role"),
    ),
    everywhere={"iam:ListRoles": "list delete", "iam:ListPolicies": "look", "iam:GetAccountSummary": "look"},
    grants=(
        Grant(
            "Role",
            ROLES,
            {
                "iam:GetRole": "role register look clean list delete",
                "iam:TagRole": "role register",
                "iam:DeleteRole": "clean delete",
                "iam:GetRolePolicy": "role register look clean",
                "iam:ListRolePolicies": "role register look clean delete",
                "iam:ListAttachedRolePolicies": "role register look clean delete",
                "iam:ListInstanceProfilesForRole": "look clean delete",
            },
        ),
        # What gives a role permissions, or takes some away: a deleted policy may be one that denies.
        Grant(
            "BoundedRole",
            ROLES,
            {
                "iam:CreateRole": "role register",
                "iam:PutRolePolicy": "role register",
                "iam:UpdateAssumeRolePolicy": "role register",
                "iam:PutRolePermissionsBoundary": "role register",
                "iam:DeleteRolePolicy": "clean delete",
                "iam:DetachRolePolicy": "clean delete",
            },
            condition="boundary",
        ),
        Grant("PassRole", ROLES, {"iam:PassRole": "update retry register"}, condition="service"),
        # Read only: the boundary, and what is attached to a role that this tool did not make.
        Grant(
            "ReadPolicies",
            ("{iam}:policy/*", "arn:{partition}:iam::aws:policy/*"),
            {"iam:GetPolicy": "role register look", "iam:GetPolicyVersion": "role register look"},
        ),
        # The user's own permissions alone. A role's session has no such ARN, so `doctor` skips that look.
        Grant("OwnPermissions", ("{iam}:user/{own_user}",), {"iam:SimulatePrincipalPolicy": "look"}),
    ),
)
UPDATE = Noun(
    "update",
    "updates",
    setting="update_name",
    set_up=90,
    teardown=10,
    task="update",
    needs=("policy", "bucket", "role", "build"),
    listed=Listed(
        "List the OTA updates: status, job, targets.",
        {"status": "status", "job_status": "job", "targets": "targets"},
        Lazy("ota.manage.rows:update_rows"),
        mark=Lazy("ota.manage.rows:mark_update"),
        fill=Lazy("ota.manage.rows:fill_update"),
        order="newest",
    ),
    deleted=Deleted(
        "Delete an OTA update by its name, with its job and stream.",
        f"Delete it even if devices have not finished; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_update"),
    ),
    tag_uses="update retry",
    everywhere={"iot:ListOTAUpdates": "retry look clean list delete"},
    grants=(
        Grant(
            "Update",
            ("{iot}:otaupdate/{update_name}", "{iot}:otaupdate/{retries}"),
            {
                "iot:CreateOTAUpdate": "update retry",
                "iot:GetOTAUpdate": "update cancel retry look clean list delete",
                "iot:DeleteOTAUpdate": "update retry clean delete",
            },
        ),
    ),
)
JOB = Noun(
    "job",
    "jobs",
    own_name=Lazy("ota.manage.selections:own_job"),
    set_up=100,
    listed=Listed(
        "List the jobs, of OTA updates or not: status and targets.",
        {"status": "status", "targets": "targets"},
        Lazy("ota.manage.rows:job_rows"),
        mark=Lazy("ota.manage.rows:mark_job"),
        fill=Lazy("ota.manage.rows:fill_job"),
        order="newest",
        id_title="id",
    ),
    deleted=Deleted(
        "Delete a job by its id; an OTA update that it belongs to stays.",
        f"Delete it even if devices have not finished; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_job"),
    ),
    everywhere={"iot:ListJobs": "list delete"},
    grants=(
        Grant(
            "Job",
            ("{iot}:job/{job_id}", "{iot}:job/{retry_jobs}"),
            {
                "iot:DescribeJob": "update cancel retry look clean list delete",
                "iot:CancelJob": "cancel",
                "iot:DeleteJob": "update retry clean delete",
                "iot:ListJobExecutionsForJob": "update cancel retry look clean delete",
            },
        ),
        Grant(
            "Execution",
            ("{iot}:job/{job_id}", "{iot}:job/{retry_jobs}", "{iot}:thing/{thing_name}", *DEVICE_THINGS),
            {"iot:DescribeJobExecution": "update retry look clean", "iot:CancelJobExecution": "cancel"},
        ),
    ),
)
GROUP = Noun(
    "group",
    "groups",
    setting="thing_group_name",
    teardown=18,
    task="group",
    listed=Listed(
        "List the thing groups: how many things are in each, and the query of a dynamic one.",
        {"members": "members", "query": "query"},
        Lazy("ota.manage.rows:group_rows"),
        mark=Lazy("ota.manage.rows:mark_group"),
        fill=Lazy("ota.manage.rows:fill_group"),
        order="name",
        is_dated=False,
    ),
    deleted=Deleted(
        "Delete a thing group by its name; its things stay.",
        f"Delete it even while an update for it runs; {BY_PATTERN}",
        Lazy("ota.manage.removals:remove_group"),
    ),
    tag_uses="register group retry",
    everywhere={"iot:ListThingGroups": "list delete clean"},
    grants=(
        Grant(
            "Group",
            ("{iot}:thinggroup/{retry_group}", "{iot}:thinggroup/{thing_group_name}"),
            {
                "iot:CreateThingGroup": "register group retry",
                "iot:DescribeThingGroup": "register group retry look clean list delete",
                "iot:DeleteThingGroup": "clean delete",
                "iot:ListThingsInThingGroup": "group retry look list",
            },
        ),
        Grant(
            "Target",
            ("{iot}:thinggroup/{target_group}", "{iot}:thing/{target_thing}"),
            {
                "iot:DescribeThingGroup": "retry look",
                "iot:ListThingsInThingGroup": "retry look",
                "iot:DescribeThing": "look",
            },
        ),
        Grant(
            "Member",
            ("{iot}:thinggroup/{retry_group}", "{iot}:thinggroup/{thing_group_name}", *DEVICE_THINGS),
            {"iot:AddThingToThingGroup": "register group retry", "iot:RemoveThingFromThingGroup": "group"},
        ),
    ),
)
# Many things, which `register` makes from a list.
DEVICES = Noun(
    "devices",
    "devices",
    setting="registration_role_name",
    teardown=17,
    task="register",
    needs=("bucket",),
    everywhere={
        "iot:StartThingRegistrationTask": "register",
        "iot:DescribeThingRegistrationTask": "register clean",
        "iot:ListThingRegistrationTasks": "register clean",
        "iot:ListThingRegistrationTaskReports": "register",
        "iot:StopThingRegistrationTask": "clean",
    },
    grants=(
        Grant(
            "Device",
            ("{iot}:thing/{devices}",),
            {
                "iot:DeleteThing": "clean",
                "iot:DescribeThing": "clean",
                "iot:ListThingPrincipals": "register clean",
                "iot:ListThingPrincipalsV2": "register clean",
            },
        ),
        Grant("CertificateOfDevice", ("{certificate}",), {"iot:DetachThingPrincipal": "clean"}, condition="device"),
    ),
)
# What takes part beside the AWS nouns: local files, and the uploaded image.
HEADER = Noun("header", "headers", set_up=30, teardown=70, everywhere={"iot:DescribeEndpoint": "thing look"})
IMAGE = Noun("image", "images", set_up=70, task="build", needs=("thing",))
OBJECT = Noun("object", "objects", set_up=80)
FILES = Noun("files", "files", teardown=80)

NOUNS = (THING, POLICY, CERTIFICATE, BUCKET, ROLE, IMAGE, UPDATE, JOB, GROUP, DEVICES, HEADER, OBJECT, FILES)
NOUN_BY_NAME = {noun.name: noun for noun in NOUNS}
LISTED = tuple(noun for noun in NOUNS if noun.listed)


def in_set_up_order(lines: Iterable[Line]) -> list[Line]:
    """The changes or outcomes in the order in which `all` makes their nouns."""
    return in_order(lines, {noun.name: noun.set_up for noun in NOUNS if noun.set_up})


def in_teardown_order(lines: Iterable[Line]) -> list[Line]:
    """The changes or outcomes in the order in which `clean` deletes their nouns."""
    return in_order(lines, {noun.name: noun.teardown for noun in NOUNS if noun.teardown})
