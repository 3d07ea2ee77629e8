"""Opening what a configuration trained, ready to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.inference.generate import Generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.prompt import choose_format
from axolotl.inference.which import bits_of, find_answering, weights_of
from axolotl.models.load import base_dtype

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


def open_generator(
    resolved: Resolved,
    *,
    base: bool = False,
    merged: bool = False,
    prompter: str | None = None,
    **options: Any,
) -> Generator:
    """Load what a configuration trained, ready to answer.

    Args:
        resolved: The configuration.
        base: Take the base model without what was trained.
        merged: Take the merged model in `output_dir/merged`.
        prompter: Format of the questions; default that of the training. `none` for plain text.
        options: As `GenerationOptions`; the seed is that of the file unless given.

    Raises:
        ModelError: nothing trained is there, or it does not load.
        ConfigError: a generation option that is none.
    """
    how = GenerationOptions.of(**{"seed": resolved.training.seed} | options)
    found = find_answering(resolved, base=base, merged=merged)
    tokenizer = found.tokenizer()
    bound = choose_format(
        prompter,
        trained=found.format,
        options=resolved,
        encoder=Encoder(tokenizer),
        saved=not base and (found.format is None or found.has_own_tokenizer),
    )
    if prompter is None and found.format is None and (found.adapter or found.is_result):
        note_once(
            f"in which format '{found.name}' was trained is not known: questions are asked as the file "
            "says (--prompter chooses another format)"
        )
    quantized = bits_of(resolved, found, base=base)
    dtype = base_dtype(resolved)
    held = [quantized.kind] if quantized else []
    held.append(str(dtype).removeprefix("torch."))
    model = found.open(
        dtype=dtype,
        tokenizer=tokenizer,
        quantized=quantized,
        rope_scaling=resolved.attention.rope_scaling,
    )
    if torch.cuda.is_available():
        model = model.to("cuda")
    return Generator(
        model,
        tokenizer,
        bound=bound,
        options=how,
        name=found.name,
        weights=f"{weights_of(found) or found.name}, held as {' and '.join(held)}",
    )
