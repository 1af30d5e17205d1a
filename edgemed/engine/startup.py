"""Opens a session: from a path and settings to a model that is ready to answer, in the engine's process."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

from edgemed import __version__, clinical
from edgemed.engine.budget import token_bytes
from edgemed.engine.chat_template import ChatTemplate
from edgemed.engine.cores import usable_cores
from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import LoadedModel, load_model
from edgemed.engine.pressure import CacheSize, Governor, watch
from edgemed.engine.process.protocol import EngineInfo, EngineSettings, Message, Sampling
from edgemed.engine.session import Session
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineError, TemplateError, UsageError
from edgemed.model_file import ModelFile, open_model

DEFAULT_CONTEXT = 8192
"""Tokens, unless the model allows fewer. For AntAngelMed the F16 KV cache then takes 512 MiB."""

Progress = Callable[[str, float], None]

# llama.cpp's names for what a checkpoint's generation_config.json recommends.
_SAMPLING_KEYS = {
    "temperature": "general.sampling.temp",
    "top_p": "general.sampling.top_p",
    "top_k": "general.sampling.top_k",
    "repeat_penalty": "general.sampling.penalty_repeat",
}


def open_session(
    path: str, settings: EngineSettings, warning: str | None, progress: Progress
) -> tuple[Session, CacheSize, EngineInfo]:
    """Load the model at `path`. warning: what the user should know about this process, or None.

    Raises ModelFileError, BudgetError, TemplateError, SetupError or EngineError.
    """
    progress("opening", 0)
    file = open_model(Path(path))
    source = _template_source(file)
    # Fail on an unusable template now, not after minutes of loading and a typed question.
    ChatTemplate(source, (), {}).render([Message("user", "?")])
    progress("loading", 0)
    threads = settings.threads or usable_cores()
    loaded = load_model(
        file,
        LoadSettings(
            ram_bytes=settings.ram_bytes,
            n_ctx=context_length(file, settings.n_ctx),
            threads=threads,
            kv_type=settings.kv_type,
            flash_attn=settings.flash_attn,
            hot_profile=settings.hot_profile,
            offload=settings.offload,
            background=True,
        ),
    )
    cache = loaded.budget.cache_bytes
    size = CacheSize(Governor(least=min(token_bytes(file), cache), most=cache, now=cache), loaded.set_cache_bytes)
    watch(size)
    vocabulary = Vocabulary(loaded.vocab, file.end_ids, file.hparams.END_TOKENS)
    template = ChatTemplate(source, vocabulary.reserved_texts, vocabulary.template_variables())
    session = Session(loaded, vocabulary, template)
    progress("ready", 1)
    return session, size, describe(loaded, session.n_ctx, threads, warning)


def describe(loaded: LoadedModel, n_ctx: int, threads: int, warning: str | None) -> EngineInfo:
    """The description of the model for the user."""
    file = loaded.file
    tensors = file.tensors.values()
    return EngineInfo(
        engine_version=__version__,
        model_name=file.name,
        architecture=file.architecture,
        n_layers=file.hparams.n_layer,
        n_dense_layers=file.hparams.n_dense_lead,
        n_experts=file.hparams.n_expert,
        bits_per_weight=8 * sum(t.nbytes for t in tensors) / sum(prod(t.shape) for t in tensors),
        size_bytes=file.size_bytes,
        weights_digest=file.weights_digest,
        intended_use=file.intended_use,
        notice=clinical.notice(file.intended_use),
        verified=file.verified,
        n_ctx=n_ctx,
        ram_bytes=loaded.budget.ram_bytes,
        defaults=recorded_sampling(file),
        warning=warning,
        placement=str(loaded.placement),
        threads=threads,
    )


def context_length(file: ModelFile, wanted: int | None) -> int:
    """The context length in tokens. Raises EngineError if more are wanted than the model was trained for."""
    longest = file.hparams.n_ctx_train
    if wanted is None:
        return min(longest, DEFAULT_CONTEXT)
    if not 1 <= wanted <= longest:
        raise EngineError(f"A context of {wanted} tokens is not possible with this model; choose from 1 to {longest}.")
    return wanted


def recorded_sampling(file: ModelFile) -> Sampling:
    """The sampling settings that the file recommends, completed by those that the family's developers publish. If the
    file's values are invalid, only the latter."""
    published = file.hparams.SAMPLING
    recorded = {name: file.metadata[key] for name, key in _SAMPLING_KEYS.items() if key in file.metadata}
    numbers = all(type(value) in (int, float) for value in recorded.values())  # bool is a subclass of int
    try:
        if numbers and type(recorded.get("top_k", 0)) is int:
            return Sampling(**{**published, **recorded})
    except UsageError:
        pass
    return Sampling(**published)


def _template_source(file: ModelFile) -> str:
    source = file.metadata.get("tokenizer.chat_template")
    if not isinstance(source, str) or not source.strip():
        raise TemplateError(
            f"{file.path.name} has no chat template, so the prompt format of the model is unknown; "
            "convert a checkpoint whose tokenizer_config.json has one."
        )
    return source
