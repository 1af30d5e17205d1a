"""A checkpoint opened for conversion: everything that can be known, and refused, before a weight is read.

    with Checkpoint(find_source("path/to/checkpoint")) as checkpoint:
        size = checkpoint.file_size(Plan.uniform(4.5))

The source is a checkpoint folder (checkpoint_folder.py) or a GGUF (gguf_source.py). A command opens it once: headers
and tokenizer are read once, even if many plans are tried before one is converted.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from edgemed.convert.header import HeaderSpec, build_headers, file_sizes
from edgemed.convert.known_digests import check_downloads
from edgemed.convert.layout import Layout, LayoutName, make_layout
from edgemed.convert.opened import Source
from edgemed.convert.split import split_layout
from edgemed.errors import CheckpointError
from edgemed.quant.calibrated import Calibrated, Matrices
from edgemed.quant.plan import Plan
from edgemed.quant.planning import Target


class Checkpoint:
    """Hyper-parameters, tokenizer, tensors and weights of `source`. `notes` are sentences the user should read.

    A context manager. Raises CheckpointError for a source that is damaged, incomplete or of another architecture.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        try:
            opened = source.open()
        except CheckpointError:
            # A download that is damaged on the disk must be deleted: downloading it again finds it in the cache.
            check_downloads(source.files)
            raise
        self.weights, self.hparams, self.tokenizer = opened.weights, opened.hparams, opened.tokenizer
        self.digest, self._in_gguf = opened.digest, opened.in_gguf
        self.notes = list(opened.notes)
        if self.tokenizer.chat_template is None:
            self.notes.append("The checkpoint has no chat template, so the chat cannot format a conversation.")

    def layout(self, plan: Plan, name: LayoutName = "edgemed") -> Layout:
        """Where every tensor lies in the file that `plan` makes. Raises PlanError."""
        return make_layout(self.hparams, plan, name, from_gguf=self._in_gguf)

    def header_spec(
        self,
        plan: Plan,
        name: LayoutName = "edgemed",
        calibrated: Calibrated | None = None,
        split: int | None = None,
    ) -> HeaderSpec:
        """What the header of that file will hold. split: the largest size of a part, if it is to have parts.

        Raises PlanError, and UsageError for impossible parts.
        """
        spec = HeaderSpec(
            hparams=self.hparams,
            tokenizer=self.tokenizer,
            source=self.source,
            source_digest=self.digest,
            plan=plan,
            layout=self.layout(plan, name),
            calibration_digest=calibrated.digest if calibrated else None,
            expert_tokens=calibrated.expert_tokens if calibrated else (),
        )
        if split is None:
            return spec
        (header,) = build_headers(spec)
        return replace(spec, layout=split_layout(spec.layout, split, len(header)))

    def file_size(
        self,
        plan: Plan,
        name: LayoutName = "edgemed",
        calibrated: Calibrated | None = None,
        split: int | None = None,
    ) -> int:
        """Size of that file in bytes, or of all its parts. Raises what `header_spec` raises."""
        return sum(file_sizes(self.header_spec(plan, name, calibrated, split)))

    def read_expert(self, layer: int, expert: int) -> Matrices:
        """Gate, up and down of one expert in float32, each [out, in]. Thread-safe."""
        gate, up, down = (
            self.weights.read(mapped.target if self._in_gguf else mapped.source, 0, mapped.shape[0])
            for mapped in self.hparams.expert_tensors(layer, expert)
        )
        return gate, up, down

    def target(
        self, name: LayoutName = "edgemed", calibrated: Calibrated | None = None, split: int | None = None
    ) -> Target:
        """The file to make, in the form that `plan_for` takes."""
        return Target(
            hparams=self.hparams,
            read=self.read_expert,
            file_size=lambda plan: self.file_size(plan, name, calibrated, split),
            whole_tensors=name == "llama.cpp",
        )

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.weights.close()
