"""The seven nouns of the lists, in the order in which they are shown."""

from __future__ import annotations

from ota.listed_delivery import BUCKETS, JOBS, ROLES, UPDATES
from ota.listed_identity import CERTIFICATES, POLICIES, THINGS

NOUNS = (THINGS, POLICIES, CERTIFICATES, BUCKETS, ROLES, UPDATES, JOBS)
NOUN_BY_NAME = {noun.name: noun for noun in NOUNS}
NOUN_BY_PLURAL = {noun.plural: noun for noun in NOUNS}
