"""Names of the metadata keys that edgemed adds to a GGUF, shared by writer and reader (docs/format.md)."""

from edgemed.sizes import PAGE

FORMAT_VERSION = "edgemed.format_version"
"""u32. A reader refuses a version that it does not know."""
HEADER_CHECKSUM = "edgemed.header_checksum"
"""u64: xxh3-64 of the file's bytes up to the end of the tensor descriptions, in which its own eight bytes count as
zeros. Present from format 2 on."""

SOURCE_REPOSITORY = "edgemed.source.repository"
SOURCE_REVISION = "edgemed.source.revision"
SOURCE_DIGEST = "edgemed.source.digest"
SOURCE_GGUF = "edgemed.source.gguf"
"""The name of the GGUF that was converted and the types of its weights; absent if a checkpoint was converted."""

PLAN = "edgemed.plan"
"""The quantisation plan as canonical JSON text."""
PLAN_DIGEST = "edgemed.plan_digest"
"""SHA-256 of the plan's text, in hexadecimal."""
CALIBRATION_DIGEST = "edgemed.calibration_digest"
CALIBRATION_KERNELS = "edgemed.calibration_kernels"
"""The BLAS kernels that computed the codes of calibrated experts: the same plan and statistics give the same bytes with
the same kernels only."""
EXPERT_TOKENS = "edgemed.expert_tokens"
"""u32 array, MoE layers (without MTP layers) x experts: tokens that calibration routed to each expert, so that a start
can load the hottest experts first."""

WEIGHTS_DIGEST = "edgemed.weights_digest"
"""SHA-256 over the bytes of all tensors in file order, without padding, in hexadecimal."""

INTENDED_USE = "edgemed.intended_use"
"""demonstration, unevaluated or evaluated; absent means unevaluated."""

DENSE_CHECKSUMS = "edgemed.dense_checksums"
"""u64 array: xxh3-64 of each dense tensor's bytes, in file order."""
EXPERT_CHECKSUMS = "edgemed.expert_checksums"
"""u64 array, MoE layers x experts: xxh3-64 from the first byte of gate to the last byte of down, including any padding
between the matrices."""

END_OF_GENERATION_IDS = "edgemed.eog_token_ids"
"""u32 array: every token id that ends a turn."""

TEXTS = (
    *(SOURCE_REPOSITORY, SOURCE_REVISION, SOURCE_DIGEST, SOURCE_GGUF),
    *(PLAN, PLAN_DIGEST, CALIBRATION_DIGEST, CALIBRATION_KERNELS, WEIGHTS_DIGEST),
)
"""Keys whose values must be strings if they are present."""

DIGESTS = (SOURCE_DIGEST, PLAN_DIGEST, CALIBRATION_DIGEST, WEIGHTS_DIGEST)
"""Those of them that must be a SHA-256 in hexadecimal."""

PREFIX = "edgemed."
CURRENT_FORMAT = 2
FIRST_FORMAT = 1
"""The format without a header checksum; still readable."""
ALIGNMENT = PAGE
"""`general.alignment` of the edgemed layout: one page, so that an expert is one direct read."""
