"""Which settings the device's firmware would not parse, by its profile.

Source: the profiles in ``ota/profiles.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ota.profiles import IGNORED_CERTIFICATE, PROFILES, Profile
from ota.settings.names import NameProblem
from ota.settings.readers import Unreadable, read_choice, read_protocols


def profile_problems(profile: Profile, texts: Mapping[str, str]) -> dict[str, NameProblem]:
    """Settings whose texts this firmware would not parse, to why and what to write instead."""
    found = {
        "signature_algorithm": _algorithm_problem(profile, texts.get("signature_algorithm", "")),
        "protocols": _protocols_problem(profile, texts.get("protocols", "")),
        "image_file_name": _file_name_problem(profile, texts.get("image_file_name", "")),
        "certificate_file_on_device": _certificate_problem(profile, texts.get("certificate_file_on_device", "")),
    }
    return {name: problem for name, problem in found.items() if problem}


def _algorithm_problem(profile: Profile, text: str) -> NameProblem | None:
    if text in profile.signature_algorithms:
        return None
    reason = f"{profile.firmware} parses only {' and '.join(profile.signature_keys)} ({profile.why})"
    others = (one for one in PROFILES if text in one.signature_algorithms)
    return _this_or_another_profile(reason, profile.signature_algorithms[0], others)


def _protocols_problem(profile: Profile, text: str) -> NameProblem | None:
    try:
        wanted = set(read_protocols(text))
    except Unreadable:
        return None  # refused already
    if wanted <= set(profile.protocols):
        return None
    reason = f"{profile.firmware} loads over {' and '.join(profile.protocols)} only ({profile.protocols_why})"
    others = (one for one in PROFILES if wanted <= set(one.protocols))
    return _this_or_another_profile(reason, ",".join(profile.protocols), others)


def _file_name_problem(profile: Profile, text: str) -> NameProblem | None:
    if not profile.image_file_names:
        return None
    try:
        read_choice(*profile.image_file_names)(text)
    except Unreadable as error:
        return NameProblem(f"{profile.firmware} accepts no image with this name", error.suggestion, str(error))
    return None


def _certificate_problem(profile: Profile, text: str) -> NameProblem | None:
    if not profile.is_certificate_opened or text not in ("", IGNORED_CERTIFICATE):
        return None
    reason = f"{profile.firmware} opens this file to verify the signature"
    return NameProblem(reason, form="write where the device keeps its PEM certificate, such as /certs/signer.pem")


def _this_or_another_profile(reason: str, value: str, others: Iterable[Profile]) -> NameProblem:
    ways = " or ".join(f'"{profile.name}"' for profile in others)
    return NameProblem(reason, value, f'write "{value}", or set firmware_profile to {ways}')
