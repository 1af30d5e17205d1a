"""The texts that clinicians must see: notices, the header line, the first line of a copied answer.

Text only, in English and Simplified Chinese, so that the chat, `generate` and exports say the same.
"""

from edgemed.clinical.language import Language, language_of
from edgemed.clinical.wording import Place, chart_copy, cut_off, header_lines, model_mark, notice

__all__ = ["Language", "Place", "chart_copy", "cut_off", "header_lines", "language_of", "model_mark", "notice"]
