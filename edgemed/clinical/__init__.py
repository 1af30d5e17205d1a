"""What edgemed says to clinicians, and must say: notices, the header line, the first line of a copied answer.

Pure words, in English and Simplified Chinese, so that the chat, `generate` and every later export say the same thing.
"""

from edgemed.clinical.language import Language, language_of
from edgemed.clinical.wording import Place, chart_copy, cut_off, header_line, notice

__all__ = ["Language", "Place", "chart_copy", "cut_off", "header_line", "language_of", "notice"]
