"""Deletes things, policies and certificates by their names.

They hang on one another, so each deletion detaches first and tells what stays. A thing whose device is at work on an
update, and whatever still gives a device the right to connect, go with force only.

Source: AWS IoT DeleteThing, DeletePolicy, DeleteCertificate (``forceDelete``), ListJobExecutionsForThing.
"""

from __future__ import annotations

from ota import certificates, jobs, policies, things
from ota.errors import InTheWay
from ota.outcomes import Outcome, Verb
from ota.pruning import certificates_among, hung_on, spoken
from ota.removals import Removal, Request


def remove_thing(request: Request, name: str) -> Removal:
    """Delete a thing; its certificates stay, unless pruned.

    Raises:
        InTheWay: its device is at work on an update right now, and nobody forces it.
    """
    iot = request.cloud.iot
    found = things.find_thing(iot, name)
    at_work = jobs.list_jobs_at_work(iot, name) if found and not request.is_forced else []
    if at_work:
        raise InTheWay(
            f"The device of the thing {name} is at work on {', '.join(at_work)} right now, and would be cut off in "
            f"the middle of it. Let it finish, or delete the thing all the same: {request.forced('thing', name)}."
        )
    outcome = things.delete_thing(iot, name, found)
    arns = [principal.arn for principal in found.principals] if found else []
    return request.loosen(outcome, certificates_among(arns))


def remove_policy(request: Request, name: str) -> Removal:
    """Delete an IoT policy with all its versions.

    Raises:
        InTheWay: it hangs on something, and is neither forced nor pruned.
    """
    iot = request.cloud.iot
    targets = list(policies.list_policy_targets(iot, name))
    try:
        outcome = policies.delete_policy(iot, name, force=request.is_forced or request.prunes)
    except InTheWay as refusal:
        raise InTheWay(
            f"The policy {name} hangs on {spoken([('certificate', arn) for arn in targets])}, and deleting it "
            f"would take that the right to connect. To detach it first and delete it: "
            f"{request.forced('policy', name)}; with --prune as well, certificates that then hang on nothing else "
            "go too."
        ) from refusal
    return request.loosen(outcome, certificates_among(targets))


def remove_certificate(request: Request, certificate_id: str) -> Removal:
    """Delete a certificate, by its id.

    Raises:
        InTheWay: it hangs on a thing or a policy, and nobody forces it.
    """
    iot = request.cloud.iot
    found = certificates.find_certificate(iot, certificate_id)
    if found is None:
        return Removal(Outcome("certificate", Verb.ABSENT, certificate_id))
    attached = hung_on(iot, found.arn)
    if attached and not request.is_forced:
        raise InTheWay(
            f"The certificate {certificate_id} hangs on {spoken(attached)}, so deleting it would cut a device off. "
            f"To detach it first and delete it: {request.forced('certificate', certificate_id)}; with --prune as "
            "well, what then has no other certificate goes too."
        )
    outcome = certificates.delete_certificate(iot, found.arn, force=True)
    return request.loosen(outcome, attached)
