"""Names of the metadata keys edgemed adds to a GGUF, shared by the writer and the reader (docs/format.md)."""

from edgemed.sizes import PAGE

FORMAT_VERSION = "edgemed.format_version"
"""u32. A reader refuses a version it does not know."""
HEADER_CHECKSUM = "edgemed.header_checksum"
"""u64: xxh3-64 of the file's bytes up to the end of the tensor descriptions, its own eight taken as zeros. Since format
2."""

SOURCE_REPOSITORY = "edgemed.source.repository"
SOURCE_REVISION = "edgemed.source.revision"
SOURCE_DIGEST = "edgemed.source.digest"

PLAN = "edgemed.plan"
"""The quantisation plan as canonical JSON text."""
PLAN_DIGEST = "edgemed.plan_digest"
"""SHA-256, in hexadecimal, of the plan's text."""
CALIBRATION_DIGEST = "edgemed.calibration_digest"
EXPERT_TOKENS = "edgemed.expert_tokens"
"""u32 array, MoE blocks (MTP ones left out) x experts: tokens that calibration routed to each expert, so that a start
knows what to read first."""

WEIGHTS_DIGEST = "edgemed.weights_digest"
"""SHA-256, in hexadecimal, over all tensors' bytes in file order, padding left out."""

INTENDED_USE = "edgemed.intended_use"
"""demonstration, unevaluated or evaluated; absent means unevaluated."""

DENSE_CHECKSUMS = "edgemed.dense_checksums"
"""u64 array: xxh3-64 of each dense tensor's bytes, in file order."""
EXPERT_CHECKSUMS = "edgemed.expert_checksums"
"""u64 array, MoE blocks x experts: xxh3-64 from the gate's first byte to the down projection's last, padding between
them included."""

END_OF_GENERATION_IDS = "edgemed.eog_token_ids"
"""u32 array: every token id that ends a turn."""

TEXTS = (
    *(SOURCE_REPOSITORY, SOURCE_REVISION, SOURCE_DIGEST),
    *(PLAN, PLAN_DIGEST, CALIBRATION_DIGEST, WEIGHTS_DIGEST),
)
"""What holds text where it is present."""

PREFIX = "edgemed."
CURRENT_FORMAT = 2
FIRST_FORMAT = 1
"""The same without a header checksum; still read."""
ALIGNMENT = PAGE
"""`general.alignment` of the edgemed layout: one page, so that an expert is one direct read."""
