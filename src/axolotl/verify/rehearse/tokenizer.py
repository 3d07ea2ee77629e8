"""A small tokenizer for models whose own is not to be had: byte-level BPE, made here in a moment.

It has the special tokens that the family's tokenizers have, puts a begin token in front where they
do, and every text is whole in it, because it falls back to bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_VOCABULARY = 700
_TEXTS = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.",
    "### Instruction:\nWhich colours does the door have?\n\n### Input:\nThe house has two doors.\n\n"
    "### Response:\nIt has red, green and blue, and a little yellow.",
    "A chat between a curious user and an artificial intelligence assistant. USER: What is it? "
    "ASSISTANT: It is a small model that was made to try the way, and it knows nothing of the world.",
    "The quick brown fox jumps over the lazy dog; 0123456789 times, they say, and then once more.",
    "Question: where is the boat? Answer: the boat is on the river, under the bridge, near the mill.",
    "def add(first, second):\n    return first + second\n\nfor number in range(10):\n    print(number)",
    "She wrote a long letter about the garden, the kettle and the lamp, and sent it the same evening.",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What tokenizers of a family have in common.

    Args:
        bos: Begin token.
        eos: End token.
        unk: Token for what is unknown; empty for none.
        pad: Padding; empty for none.
        begins: Whether the begin token is put in front of every text.
        others: Further special tokens.
        template: The chat template, by the name that the tool has for it.
    """

    bos: str
    eos: str
    unk: str = ""
    pad: str = ""
    begins: bool = False
    others: tuple[str, ...] = ()
    template: str = "chatml"

    @property
    def specials(self) -> list[str]:
        """All special tokens, in their order."""
        found = [self.unk, self.pad, self.bos, self.eos, *self.others]
        return list(dict.fromkeys(filter(None, found)))


_SENTENCEPIECE = Kind("<s>", "</s>", "<unk>", begins=True, template="llama2")
_END_OF_TEXT = Kind("<|endoftext|>", "<|endoftext|>", "<|endoftext|>")
_GEMMA = Kind("<bos>", "<eos>", "<unk>", "<pad>", begins=True, template="gemma")
_KINDS: Mapping[str, Kind] = {
    "llama": _SENTENCEPIECE,
    "mistral": Kind("<s>", "</s>", "<unk>", begins=True, template="mistral_v1"),
    "mixtral": Kind("<s>", "</s>", "<unk>", begins=True, template="mistral_v1"),
    "phi3": Kind(
        *("<s>", "<|endoftext|>", "<unk>", "<|endoftext|>"), others=("<|end|>",), template="phi_35"
    ),
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3": Kind("<bos>", "<eos>", "<unk>", "<pad>", begins=True, template="gemma3"),
    "gemma3_text": Kind("<bos>", "<eos>", "<unk>", "<pad>", begins=True, template="gemma3"),
    "qwen2": Kind("", "<|im_end|>", "", "<|endoftext|>", template="qwen_25"),
    "qwen2_moe": Kind("", "<|im_end|>", "", "<|endoftext|>", template="qwen_25"),
    "qwen3": Kind("", "<|im_end|>", "", "<|endoftext|>", template="qwen3"),
    "qwen3_moe": Kind("", "<|im_end|>", "", "<|endoftext|>", template="qwen3"),
}
_LLAMA_3 = Kind(
    *("<|begin_of_text|>", "<|end_of_text|>"),
    begins=True,
    others=("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|finetune_right_pad_id|>"),
    template="llama3",
)
_MARKS = re.compile(r"<\|[^|<>\s{}]+\|>|</?[a-z]+_[a-z_]+>|\[/?[A-Z_]{3,}\]")
"""What in the text of a chat template looks like a special token."""


def kind_of(model_type: str, base_model: str) -> Kind:
    """What the tokenizers of an architecture have; Llama 3 has another one than Llama."""
    if model_type == "llama" and re.search(r"llama-?3", base_model.lower()):
        return _LLAMA_3
    return _KINDS.get(model_type, _END_OF_TEXT)


def small_tokenizer(kind: Kind, *, template: str | None = None, others: Sequence[str] = ()) -> Any:
    """A tokenizer of a few hundred tokens.

    Args:
        kind: Its special tokens.
        template: Text of the chat template that it is to have; the marks in it are tokens, too.
        others: Further special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    marks = [mark for mark in (*_marks(template), *others) if mark not in kind.specials]
    marks = list(dict.fromkeys(marks))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        _TEXTS,
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY,
            special_tokens=[*kind.specials, *marks],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if kind.begins:
        number = core.token_to_id(kind.bos)
        core.post_processor = processors.TemplateProcessing(
            single=f"{kind.bos} $A", special_tokens=[(kind.bos, number)]
        )
    named = {"bos_token": kind.bos, "eos_token": kind.eos, "unk_token": kind.unk}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        additional_special_tokens=[*kind.others, *marks],
        **{name: text for name, text in {**named, "pad_token": kind.pad}.items() if text},
    )
    if template:
        tokenizer.chat_template = template
    return tokenizer


def _marks(template: str | None) -> Sequence[str]:
    """Special tokens that a chat template writes."""
    return list(dict.fromkeys(_MARKS.findall(template or "")))
