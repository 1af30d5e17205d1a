"""Report cards read back: is a card of these weights, and what does it say of them?

A card names its model by the SHA-256 of the weights. The file is not marked in return: docs/decisions.md says why.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edgemed.errors import ModelFileError, TextsError, escaped
from edgemed.model_file import ModelFile
from edgemed.sizes import file_size

MAX_CARD_BYTES = 64 << 20


def read_card(path: Path, model: ModelFile) -> dict[str, Any]:
    """What `edgemed eval` found out about this model: digest (of the card), date, reference, and overall figures (None
    where only questions were asked).

    Raises TextsError for a file that is no report card, ModelFileError for a card of other weights.
    """
    try:
        content = path.read_bytes() if file_size(path) <= MAX_CARD_BYTES else b""
        card = json.loads(content)
        of, reference = card["model"]["weights_digest"], card["reference"]
        found = {
            "digest": hashlib.sha256(content).hexdigest(),
            "date": escaped(str(card["date"])),
            "reference": {"file": escaped(str(reference["file"])), "weights_digest": reference["weights_digest"]},
            "overall": _numbers(card["overall"]) if card["overall"] else None,
        }
    except OSError as error:
        raise TextsError(f"The report card {path} cannot be read: {error.strerror}.") from None
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError):
        raise TextsError(f"{path} is no report card; name a file that `edgemed eval -o` wrote.") from None
    if model.weights_digest is None:
        raise ModelFileError(
            f"{model.path.name} carries no digest of its weights, so no report card can be said to be of it; "
            "`edgemed convert` writes one into what it makes."
        )
    if of != model.weights_digest:
        raise ModelFileError(
            f"The report card {path} is not of {model.path.name}, but of other weights: evaluate these."
        )
    return found


def _numbers(overall: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(overall[name]) for name in ("tokens", "kl_mean", "kl_p99", "top1_agreement", "perplexity_ratio")
    }
