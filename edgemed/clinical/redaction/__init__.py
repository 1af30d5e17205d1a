"""Finds what could tell who a text is about, and replaces what a person has chosen of it. English and Chinese.

The rules are incomplete. No text is de-identified by them: a person reads what is found, and what is not.
"""

from edgemed.clinical.redaction.finding import find
from edgemed.clinical.redaction.identifier import LABELS, Identifier, Kind
from edgemed.clinical.redaction.replacing import labels, replaced
from edgemed.clinical.redaction.review import Review

__all__ = ["LABELS", "Identifier", "Kind", "Review", "find", "labels", "replaced"]
