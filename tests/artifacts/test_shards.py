"""Files of weights that are filled tensor by tensor are those that any program reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl import api
from axolotl.artifacts import reshard
from axolotl.artifacts.shards import Entry, ShardFiles, shard_bytes, split
from axolotl.cli.shard import main
from axolotl.errors import ConfigError, EnvironmentFault, ModelError
from tests.conftest import build_llama

Options = Callable[..., dict[str, Any]]


def entry(name: str, tensor: torch.Tensor) -> Entry:
    return Entry(name, tuple(tensor.shape), tensor.dtype)


def test_every_dtype_and_shape_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {
        "bytes": torch.arange(3, dtype=torch.uint8),
        "half": torch.randn(3, 5).to(torch.bfloat16),
        "float16": torch.randn(7).half(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "turned": torch.randn(4, 6).T,
        "flags": torch.tensor([True, False]),
        "ids": torch.arange(9),
    }
    files = ShardFiles(tmp_path, [entry(n, t) for n, t in tensors.items()], max_bytes=10**6)
    for name, tensor in reversed(tensors.items()):
        files.put(name, tensor)
    files.finish()
    found = load_file(tmp_path / "model.safetensors")
    assert {n: t.dtype for n, t in found.items()} == {n: t.dtype for n, t in tensors.items()}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_files_are_as_large_as_asked_and_named_in_the_index(tmp_path: Path) -> None:
    tensors = {f"{i}": torch.randn(10, 10) for i in range(7)} | {"large": torch.randn(40, 40)}
    files = ShardFiles(tmp_path, [entry(n, t) for n, t in tensors.items()], max_bytes=1000)
    for name, tensor in tensors.items():
        files.put(name, tensor)
    files.finish()
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text("utf-8"))
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    assert sorted(set(index["weight_map"].values())) == [
        f"model-{i:05}-of-00005.safetensors" for i in range(1, 6)
    ]
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file)[name], tensors[name])
    assert len(split([entry("0", tensors["0"])] * 3, 10**9)) == 1


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5 * 10**9), ("1.5 mb", 1_500_000), ("2GiB", 2**31), ("800", 800)]
)
def test_sizes(text: str, size: int) -> None:
    assert shard_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "5 parsecs", "-1GB", "big"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        shard_bytes(text)


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        return model(torch.arange(3, 43)[None]).logits


def test_the_base_model_is_saved_again_in_output_dir(
    options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    report = api.shard(options(adapter=None), max_shard_size="100KB")
    out = tmp_path / "out"
    assert report.folder == out, "as the release of 2023 does"
    assert report.files == len(list(out.glob("model-*.safetensors"))) > 3
    assert all(file.stat().st_size < 150_000 for file in out.glob("model-*.safetensors"))
    assert torch.equal(logits(out), logits(tiny_model))
    assert AutoTokenizer.from_pretrained(out).get_vocab()
    again = api.shard(options(adapter=None), max_shard_size="1GB")
    assert (again.folder, again.files) == (out, 1), "of the base model, over the earlier result"
    assert not list(out.glob("model-*"))
    assert json.loads((out / "shard.json").read_text("utf-8"))["equal"] is True


def test_what_was_trained_or_merged_comes_before_the_base_model(
    options: Options, adapter: Path, tmp_path: Path
) -> None:
    api.merge(options())
    report = api.shard(options(), max_shard_size="100KB")
    assert (report.source, report.folder) == (adapter / "merged", adapter / "sharded")
    assert torch.equal(logits(report.folder), logits(adapter / "merged"))
    assert not (report.folder / "merge.json").exists()
    full = tmp_path / "full"
    build_llama(seed=5).save_pretrained(full)
    (full / "run.json").write_text("{}")
    report = api.shard(options(adapter=None, output_dir=str(full)))
    assert (report.source, report.folder) == (full, full / "sharded")
    assert torch.equal(logits(report.folder), logits(full))
    assert not (report.folder / "run.json").exists()


def test_an_adapter_that_is_not_merged_is_not_taken_for_nothing(
    options: Options, adapter: Path, tmp_path: Path
) -> None:
    for given in (options(), options(lora_model_dir=str(adapter), output_dir=str(tmp_path / "x"))):
        with pytest.raises(ModelError, match=r"adapter in '.*out' is not merged yet") as refused:
            api.shard(given)
        assert "axolotl merge-lora" in str(refused.value.hint)
    assert not (adapter / "sharded").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("adapter_kind", ["lora", None])
def test_a_run_that_did_not_finish_is_not_taken_for_nothing(
    options: Options, tmp_path: Path, adapter_kind: str | None
) -> None:
    given = options(adapter=adapter_kind)
    assert api.shard(given, max_shard_size="100KB").folder == tmp_path / "out"
    (tmp_path / "out" / "metrics.jsonl").touch()
    with pytest.raises(ModelError, match="saved again, and a run without a result"):
        api.shard(given)


def test_the_model_that_relora_made_comes_before_the_base_model(
    options: Options, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build_llama(seed=5).save_pretrained(out)
    (out / "run.json").write_text('{"config": {"resolved": {"relora_steps": 3}}}')
    report = api.shard(options(relora_steps=3))
    assert (report.source, report.folder) == (out, out / "sharded")
    assert torch.equal(logits(report.folder), logits(out))


def test_pickled_weights_are_read_as_weights_only(options: Options, tmp_path: Path) -> None:
    base = tmp_path / "base"
    model = build_llama()
    model.save_pretrained(base)
    (base / "model.safetensors").unlink()
    torch.save(model.state_dict(), base / "pytorch_model.bin")
    report = api.shard(options(adapter=None, base_model=str(base)))
    with torch.no_grad():
        want = model.eval()(torch.arange(3, 43)[None]).logits
    assert torch.equal(logits(report.folder), want)
    assert not list(report.folder.glob("*.bin"))


def test_nothing_of_the_users_is_replaced(options: Options, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigError, match="not this command made it"):
        api.shard(options(adapter=None), out=precious)
    (precious / "shard.json").write_text("{}")
    (precious / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="not this command made it"):
        api.shard(options(adapter=None), out=precious)


def test_what_the_disk_gives_back_wrong_is_no_result(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ShardFiles.put

    def wrong(self: Any, name: str, tensor: torch.Tensor) -> None:
        put(self, name, tensor + 1e-7 if name == "model.norm.weight" else tensor)

    monkeypatch.setattr(reshard.ShardFiles, "put", wrong)
    with pytest.raises(ModelError, match=r"'model\.norm\.weight' came back"):
        api.shard(options(adapter=None))
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_found_before_writing(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(EnvironmentFault, match="are free"):
        api.shard(options(adapter=None))


def test_the_command_says_what_it_did(options: Options, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "a.yml"
    file.write_text(yaml.safe_dump(options(adapter=None)))
    for size in ("--max_shard_size=100KB", "--max-shard-size=100KB"):
        result = CliRunner().invoke(main, [str(file), size], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.stderr
    assert "all equal" in result.stderr
    assert "at most 100 kB" in result.stderr
    refused = CliRunner().invoke(main, [str(file), "--max_shard_size", "many"])
    assert refused.exit_code == 2
    assert "write it as 5GB" in refused.stderr
