"""A GGUF file holds the model: other programs read the same logits and the same tokens out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl import api
from axolotl.artifacts.gguf.export import LIMITS, export
from axolotl.artifacts.gguf.families import rope_factors
from axolotl.cli.export_gguf import main
from axolotl.errors import ConfigError, ModelError
from axolotl.models.quiet import no_library_bars
from axolotl.models.tiny import tiny_model
from tests.conftest import build_llama, build_tokenizer

gguf = pytest.importorskip("gguf", reason="the extra gguf is not installed")
IDS = torch.arange(3, 43)[None]
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


def saved(model: Any, folder: Path, **settings: Any) -> Path:
    tokenizer = build_tokenizer(**settings)
    tokenizer.chat_template = TEMPLATE
    with no_library_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(file: Path) -> Any:
    """As transformers reads it, by a mapping of its own."""
    with no_library_bars():
        return AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )


def field(file: Path, name: str) -> Any:
    found = gguf.GGUFReader(file).fields.get(name)
    return None if found is None else found.contents()


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_transformers_reads_the_same_model_out_of_it(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    # transformers takes the width of a head of Qwen 3 for 128, whatever the file says.
    model = tiny_qwen3() if kind == "qwen3" else tiny_model(kind, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms of ones and biases of zeros would hide a mix-up
                parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = saved(model, tmp_path / "model")
    report = export(folder, tmp_path / "model.gguf", kind="f32")
    assert report.difference == 0
    reach = getattr(model.config, "sliding_window", None) or IDS.shape[1]
    assert field(report.file, f"{report.arch}.context_length") == (
        reach if kind == "mistral" else model.config.max_position_embeddings
    )
    apart = (logits(opened(report.file)) - logits(model)).abs()
    assert apart[:, :reach].max() < 1e-4


def tiny_qwen3() -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128}
    heads: dict[str, Any] = {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    return Qwen3ForCausalLM(Qwen3Config(**sizes, **heads, head_dim=128))


@pytest.mark.parametrize(("kind", "rounding"), [("f16", 1e-2), ("bf16", 5e-2), ("q8_0", 5e-2)])
def test_half_and_eight_bits_round_the_weights(kind: str, rounding: float, tmp_path: Path) -> None:
    model = build_llama()
    report = export(saved(model, tmp_path / "model"), tmp_path / "m.gguf", kind=kind)
    assert 0 < report.difference <= LIMITS[kind.upper()]
    want = logits(model)
    assert (logits(opened(report.file)) - want).abs().max() < rounding * want.abs().max()
    whole = {t.name: t.tensor_type.name for t in gguf.GGUFReader(report.file).tensors}
    assert whole["blk.0.attn_norm.weight"] == "F32"
    assert whole["blk.0.attn_q.weight"] == kind.upper()


def test_sizes_tokens_and_template_are_in_the_file(tmp_path: Path) -> None:
    folder = saved(build_llama(tie_word_embeddings=True), tmp_path / "model", bos=True)
    file = export(folder, tmp_path / "m.gguf").file
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = field(file, "tokenizer.ggml.tokens")
    assert len(words) == 512 > len(tokenizer)
    assert words[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    types = field(file, "tokenizer.ggml.token_type")
    assert (types[0], types[5], types[-1]) == (3, 1, 5)
    assert field(file, "tokenizer.ggml.model") == "gpt2"
    assert field(file, "tokenizer.ggml.pre") == "gpt-2"
    assert field(file, "tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id
    assert field(file, "tokenizer.ggml.add_bos_token") is True
    assert field(file, "tokenizer.chat_template") == TEMPLATE
    assert field(file, "llama.attention.head_count_kv") == 2
    names = {tensor.name for tensor in gguf.GGUFReader(file).tensors}
    assert "output.weight" not in names, "tied to the embeddings"


def sentencepiece_like() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "b"]
    pieces += ["▁a", "ab", "▁ab"]
    merges = [("a", "b"), ("▁", "ab"), ("▁", "a")]
    core = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def test_pieces_of_sentencepiece_keep_the_order_of_their_joining(tmp_path: Path) -> None:
    folder = saved(build_llama(), tmp_path / "model")
    sentencepiece_like().save_pretrained(folder)
    file = export(folder, tmp_path / "m.gguf").file
    assert field(file, "tokenizer.ggml.model") == "llama"
    words, scores, types = (
        field(file, f"tokenizer.ggml.{name}") for name in ("tokens", "scores", "token_type")
    )
    by_score = sorted(("ab", "▁ab", "▁a"), key=lambda word: -scores[words.index(word)])
    assert by_score == ["ab", "▁ab", "▁a"], "as they were merged"
    assert types[words.index("<unk>")] == 2
    assert types[words.index("<0x41>")] == 6
    assert types[words.index("</s>")] == 3
    assert field(file, "tokenizer.ggml.add_space_prefix") is True


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
            "llama-bpe",
        ),
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
            "qwen2",
        ),
        (None, "smollm"),
        (r"\w+", None),
    ],
    ids=["llama 3", "qwen", "smollm", "unknown"],
)
def test_the_way_of_cutting_text_has_its_name(
    pattern: str | None, name: str | None, tmp_path: Path
) -> None:
    folder = saved(build_llama(), tmp_path / "model")
    file = folder / "tokenizer.json"
    core = json.loads(file.read_text("utf-8"))
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    first: dict[str, Any] = {"type": "Digits", "individual_digits": True}
    if pattern:
        cut = {"pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        first = {"type": "Split", **cut}
    steps = [first, {**plain, "use_regex": pattern is None}]
    core["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    file.write_text(json.dumps(core))
    if name is None:
        with pytest.raises(ModelError, match=r"cuts text as llama.cpp is not known to: \\w\+"):
            export(folder, tmp_path / "m.gguf")
        assert not list(tmp_path.glob("*.gguf"))
        return
    exported = export(folder, tmp_path / "m.gguf").file
    assert field(exported, "tokenizer.ggml.pre") == name


def test_stretched_positions_are_told(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    model = build_llama(rope_parameters=rope)
    folder = saved(model, tmp_path / "llama3")
    file = export(folder, tmp_path / "m.gguf", kind="f32").file
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    plain = build_llama(rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    want = plain.model.rotary_emb.inv_freq / model.model.rotary_emb.inv_freq
    torch.testing.assert_close(torch.from_numpy(tensors["rope_freqs.weight"].copy()), want)
    assert 1 < float(want.max()) <= 8
    assert rope_factors(plain.config) is None
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    folder = saved(build_llama(rope_parameters=linear), tmp_path / "linear")
    file = export(folder, tmp_path / "m.gguf").file
    assert field(file, "llama.rope.scaling.type") == "linear"
    assert field(file, "llama.rope.scaling.factor") == 4.0


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: tiny_model("gemma2", seed=0), "type 'gemma2' cannot be exported"),
        (
            lambda: build_llama(
                rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
            ),
            "positions stretched by 'dynamic'",
        ),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused(
    make: Callable[[], Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=problem):
        export(saved(make(), tmp_path / "model"), tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_wrong_order_of_rows_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.artifacts.gguf.families import FAMILIES, Family

    model = build_llama()
    folder = saved(model, tmp_path / "model")
    monkeypatch.setitem(FAMILIES, "llama", Family("llama", turned=False))
    file = export(folder, tmp_path / "m.gguf", kind="f32").file
    assert (logits(opened(file)) - logits(model)).abs().max() > 1e-3


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = build_llama()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1e8)
    folder = saved(model, tmp_path / "model")
    with pytest.raises(ModelError, match="fit into --type bf16"), pytest.warns(RuntimeWarning):
        export(folder, tmp_path / "m.gguf", kind="f16")
    export(folder, tmp_path / "m.gguf", kind="bf16")
    with pytest.raises(ConfigError, match="no type 'q4'"):
        export(folder, tmp_path / "m.gguf", kind="q4")


def test_the_command_takes_a_file_or_a_folder(
    options: Callable[..., dict[str, Any]], adapter: Path, tmp_path: Path
) -> None:
    import yaml

    file = tmp_path / "a.yml"
    file.write_text(yaml.safe_dump(options()))
    early = CliRunner().invoke(main, [str(file)])
    assert early.exit_code == 2
    assert "axolotl merge-lora" in early.stderr
    api.merge(options())
    for arguments in ([str(file)], [str(adapter)], [str(adapter / "merged"), "--type", "f32"]):
        result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in adapter.rglob("*.gguf")) == ["out-f16.gguf", "out-f32.gguf"]
    assert not list((adapter / "merged").glob("*.gguf")), "the next merge would take it away"
