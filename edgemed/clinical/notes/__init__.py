"""Notes and letters: templates in plain files, what they ask of the model, and the identity that is filled in last.

A template holds no patient text, and its instruction holds no placeholder: the model never sees who the patient is.
"""

from edgemed.clinical.notes.library import Library
from edgemed.clinical.notes.template import Template, TemplateError, filled

__all__ = ["Library", "Template", "TemplateError", "filled"]
