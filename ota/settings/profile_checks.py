"""Refuse settings that the chosen kind of firmware would not parse.

Source: ``ota/profiles.py``, with the sources of each firmware's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ota.profiles import IGNORED_CERTIFICATE, PROFILES, Profile
from ota.settings.names import NameProblem
from ota.settings.readers import read_choice, read_protocols


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
    others = _names(other for other in PROFILES if text in other.signature_algorithms)
    return NameProblem(reason, form=f'write "{profile.signature_algorithms[0]}", or set firmware_profile to {others}')


def _protocols_problem(profile: Profile, text: str) -> NameProblem | None:
    wanted = _protocols(text)
    if wanted <= set(profile.protocols):
        return None
    reason = f"{profile.firmware} loads over {' and '.join(profile.protocols)} only ({profile.protocols_why})"
    others = _names(other for other in PROFILES if wanted <= set(other.protocols))
    return NameProblem(reason, form=f'write "{",".join(profile.protocols)}", or set firmware_profile to {others}')


def _file_name_problem(profile: Profile, text: str) -> NameProblem | None:
    if not profile.image_file_names:
        return None
    try:
        read_choice(*profile.image_file_names)(text)
    except ValueError as error:
        return NameProblem(f"{profile.firmware} takes no image of this name", form=str(error))
    return None


def _certificate_problem(profile: Profile, text: str) -> NameProblem | None:
    if not profile.is_certificate_opened or text not in ("", IGNORED_CERTIFICATE):
        return None
    reason = f"{profile.firmware} opens this file to verify the signature"
    return NameProblem(reason, form="write where the device keeps its PEM certificate, such as /certs/signer.pem")


def _protocols(text: str) -> set[str]:
    """The protocols in a valid text; none for any other text, which the setting's own reader refuses."""
    try:
        return set(read_protocols(text))
    except ValueError:
        return set()


def _names(profiles: Iterable[Profile]) -> str:
    return " or ".join(f'"{profile.name}"' for profile in profiles)
