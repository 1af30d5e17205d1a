"""Numbers, units, sides and negations of a text, compared with the text that it was made from."""

from edgemed.clinical.numbers.checking import Source, absent, check
from edgemed.clinical.numbers.marks import Checked, Mark
from edgemed.clinical.numbers.reading import Reader

__all__ = ["Checked", "Mark", "Reader", "Source", "absent", "check"]
