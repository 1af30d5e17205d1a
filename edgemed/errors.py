"""Every error that edgemed raises on purpose.

    EdgemedError                 a sentence for the user; exit code 1
    ├── UsageError               the command line is wrong; exit code 2
    ├── SetupError               this machine or installation lacks something
    ├── HubError                 a repository of the model hub that cannot be listed or downloaded
    ├── CheckpointError          the source checkpoint is missing, damaged or of another architecture
    ├── ModelFileError           a GGUF that cannot be opened, or that breaks its format's rules
    │   └── ChecksumError        bytes differ from the checksum written beside them
    ├── PlanError                a quantisation plan that does not fit the checkpoint
    ├── TextsError               a file of texts, for calibration or evaluation, that cannot be used
    ├── CalibrationError         calibration statistics that are damaged or belong to another model
    ├── BudgetError              the memory budget is too small; says the smallest that works
    ├── TemplateError            the file's chat template is malformed, hostile or too slow
    ├── VaultError               the vault cannot be opened, written or copied
    │   ├── WrongPassphrase      neither the passphrase nor the recovery words fit
    │   ├── VaultBusy            another program has it open
    │   └── VaultDamaged         its files are missing, damaged or do not belong together
    └── EngineError              the engine refused or failed
        └── EngineDied           the engine's process ended; the parent may restart it

A message is one sentence: what is wrong, then what to do. The command line prints it on one line. No traceback reaches
the user.
"""

from edgemed.characters import UNSEEN


def escaped(text: str) -> str:
    """`text` with every unprintable or invisible character as its escape sequence."""
    return "".join(
        character
        if character.isprintable() and character not in UNSEEN
        else character.encode("unicode_escape").decode()
        for character in text
    )


class EdgemedError(Exception):
    """Base of every error meant for the user. `str(error)` is a sentence.

    A sentence may quote a hostile file, and a terminal obeys control characters, so unprintable characters are escaped.
    """

    exit_code = 1

    def __str__(self) -> str:
        return escaped(super().__str__())


class UsageError(EdgemedError):
    """The command line is wrong."""

    exit_code = 2


class SetupError(EdgemedError):
    """This machine or this installation lacks something edgemed needs."""


class HubError(EdgemedError):
    """A repository of the model hub that is missing, closed to this user, or cannot be downloaded."""


class CheckpointError(EdgemedError):
    """The source checkpoint is missing, damaged, or of an unsupported architecture."""


class ModelFileError(EdgemedError):
    """A GGUF file that cannot be opened or that breaks the rules of its format."""


class ChecksumError(ModelFileError):
    """Bytes read from a model file differ from the checksum stored beside them."""


class PlanError(EdgemedError):
    """A quantisation plan that is malformed or does not fit the checkpoint."""


class TextsError(EdgemedError):
    """A file of texts, for calibration or evaluation, that is unreadable, empty or unsuitable."""


class CalibrationError(EdgemedError):
    """Calibration statistics that are damaged, or that belong to a model of another shape."""


class BudgetError(EdgemedError):
    """The memory budget is too small. The message names the smallest that works."""


class TemplateError(EdgemedError):
    """The model's chat template is malformed, reaches for attributes, or takes too long."""


class VaultError(EdgemedError):
    """The vault cannot be opened, written or copied."""


class WrongPassphrase(VaultError):  # noqa: N818 - names what was typed
    """Neither the passphrase nor the recovery words open this vault."""


class VaultBusy(VaultError):  # noqa: N818
    """Another program has this vault open."""


class VaultDamaged(VaultError):  # noqa: N818
    """The vault's files are missing or damaged, or do not belong together."""


class EngineError(EdgemedError):
    """The engine refused a request or failed while computing."""


class EngineDied(EngineError):  # noqa: N818 - it is an event as much as an error
    """The engine's process ended unexpectedly. The parent may start another."""
