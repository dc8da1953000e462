"""Makes the plan of ``all``: every look side by side, in four round trips with the one for the account's number.

Only two looks may take more: the search for the certificate of a run that was cut off, which goes through the
account's certificates, and a listing of more than one page.

Source: ``ota/set_up.py`` for the order of the steps.
"""

from __future__ import annotations

from functools import partial

from ota.outcomes import Action
from ota.plan import Plan, Site
from ota.plan_delivery import look_at_delivery, plan_bucket, plan_image, plan_role, plan_update
from ota.plan_identity import look_at_identity, look_at_policy, plan_header, plan_identity, plan_policy
from ota.threads import side_by_side

CHANGING = (Action.CHANGE, Action.ASK)


def make_plan(site: Site) -> Plan:
    """What ``all`` would do, object by object.

    Raises:
        CredentialsError: AWS takes none of the looks.
    """
    for service in ("iot", "s3", "iam"):
        getattr(site.cloud, service)  # made one after the other, for making two at once takes no less time
    identity, header, policy, bucket, role, delivery = side_by_side(
        partial(look_at_identity, site),
        partial(plan_header, site),
        partial(look_at_policy, site),
        partial(plan_bucket, site),
        partial(plan_role, site),
        partial(look_at_delivery, site),
    )
    image = plan_image(
        site,
        delivery,
        changes_header=header.action in CHANGING,
        changes_certificate=identity.writes_certificate,
    )
    steps = (
        *plan_identity(site, identity),
        header,
        plan_policy(site, policy, identity),
        bucket,
        role,
        image,
        *plan_update(site, delivery, image),
    )
    return Plan(steps)
