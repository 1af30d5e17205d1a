"""Reading a report card back: whether it belongs to these weights, and what it says about them.

A card identifies its model by the SHA-256 of the weights. The model file does not refer to the card
(docs/decisions.md#intended-use).
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
    """The results of `edgemed eval` for this model: digest (of the card), date, reference, and overall figures (None if
    only questions were evaluated).

    Raises TextsError if the file is not a report card, ModelFileError if the card belongs to other weights.
    """
    try:
        content = path.read_bytes() if file_size(path) <= MAX_CARD_BYTES else b""
        card = json.loads(content)
        weights_digest, reference = card["model"]["weights_digest"], card["reference"]
        found = {
            "digest": hashlib.sha256(content).hexdigest(),
            "date": escaped(str(card["date"])),
            "reference": {"file": escaped(str(reference["file"])), "weights_digest": reference["weights_digest"]},
            "overall": _numbers(card["overall"]) if card["overall"] else None,
        }
    except OSError as error:
        raise TextsError(f"The report card {path} cannot be read: {error.strerror}.") from None
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError):
        raise TextsError(f"{path} is not a report card; name a file that `edgemed eval -o` wrote.") from None
    if model.weights_digest is None:
        raise ModelFileError(
            f"{model.path.name} has no digest of its weights, so no report card can be matched to it; "
            "use a file made by `edgemed convert`, which writes one."
        )
    if weights_digest != model.weights_digest:
        raise ModelFileError(
            f"The report card {path} belongs to other weights than {model.path.name}; run `edgemed eval` on this model."
        )
    return found


def _numbers(overall: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(overall[name]) for name in ("tokens", "kl_mean", "kl_p99", "top1_agreement", "perplexity_ratio")
    }
