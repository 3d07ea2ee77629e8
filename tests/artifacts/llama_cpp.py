"""llama.cpp, which answers from a GGUF file: the judge of what is exported.

V words.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answered:
    """What llama.cpp says after a prompt.

    Args:
        tokens: The most probable ids, one after the other.
        logprobs: Those of all words at each of them, (tokens, V).
        text: The same as text.
    """

    tokens: list[int]
    logprobs: Tensor
    text: str


class LlamaCpp:
    """A model in a GGUF file, computed by llama.cpp in this process, in fp32 as far as it can.

    Its weights alone are in the file's type. What it needs of a network is a port of this machine.

    Args:
        file: The file.
        context: Tokens of prompt and answer at most.
    """

    def __init__(self, file: Path, *, context: int = 512) -> None:
        llama: Any = import_module("xllamacpp")
        params: Any = llama.CommonParams()
        params.model.path = str(file)
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.offline, params.warmup, params.fit_params = True, False, False
        params.n_parallel, params.n_gpu_layers, params.verbosity = 1, 0, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        params.cache_prompt, params.cache_ram_mib, params.swa_full = False, 0, True
        params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._server: Any = llama.Server(params)

    def answer(
        self, prompt: list[int] | str, *, length: int = 1, words: int = 0, among: Any = None
    ) -> Answered:
        """Let it answer greedily.

        Args:
            prompt: Ids, or text, which it cuts into tokens itself, special ones included.
            length: Tokens of the answer at most.
            words: V, for tokens and `logprobs`.
            among: The ids that it may answer with; default: all. It says nothing of a token that ends
                within a letter of several bytes.
        """
        banned = [] if among is None else sorted(set(range(words)) - set(among))
        said = self._server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": length,
                "temperature": 0,
                "n_probs": words,
                "logit_bias": [[word, False] for word in banned],
            }
        )
        assert "choices" in said, said
        choice = said["choices"][0]
        steps = choice["logprobs"]["content"] if words else []
        every = torch.full((len(steps), words), -math.inf)
        for number, step in enumerate(steps):
            for word in step["top_logprobs"]:
                every[number, word["id"]] = word["logprob"]
        return Answered([step["id"] for step in steps], every, choice["text"])

    def ids(self, text: str, *, whole: bool = True) -> list[int]:
        """The ids of a text.

        Args:
            text: The text; words of special tokens in it are these.
            whole: Whether it gets the tokens that texts begin and end with.
        """
        return self._ask(
            "/tokenize", {"content": text, "add_special": whole, "parse_special": True}
        )["tokens"]

    def text(self, ids: list[int]) -> str:
        """The text of ids."""
        return self._ask("/detokenize", {"tokens": ids})["content"]

    def conversation(self, messages: list[dict[str, str]]) -> str:
        """Messages as text by the template in the file, with the beginning of an answer."""
        return self._ask("/apply-template", {"messages": messages})["prompt"]

    def _ask(self, path: str, content: dict[str, Any]) -> Any:
        head = {"Content-Type": "application/json"}
        address = self._server.listening_address + path
        with urlopen(Request(address, json.dumps(content).encode(), head)) as reply:
            return json.load(reply)
