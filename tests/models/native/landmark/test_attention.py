"""Landmark attention against the formulas of the paper, written out query by query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from axolotl.attention import Need, _landmark_blocks, landmark
from axolotl.attention._landmark_blocks import attend_document
from axolotl.attention.landmark import LANDMARK, ORDINARY, PADDING, Layout, Retrieval, layout_of

HEADS, GROUPS, WIDTH = 2, 1, 8
SCALE = 0.3


def weights_by_formula(
    query: Tensor, key: Tensor, landmarks: Sequence[int], top: tuple[int, int] | None = None
) -> Tensor:
    """Weights of all tokens for one head, (T, T), one query at a time.

    Args:
        query: (T, D).
        key: (T, D).
        landmarks: Their places.
        top: Blocks that are always read, and how many of the older ones.
    """
    tokens = key.shape[0]
    block = [sum(place < token for place in landmarks) for token in range(tokens)]
    members = [
        [j for j in range(tokens) if block[j] == n and j not in landmarks]
        for n in range(len(landmarks))
    ]
    rows: list[Tensor] = []
    for i, score in enumerate(query @ key.T * SCALE):
        own = [j for j in range(i + 1) if block[j] == block[i] and j not in landmarks]
        earlier = list(range(block[i]))
        if top is not None:
            old = [n for n in earlier if block[i] - n >= top[0]]
            best = sorted(old, key=lambda n: -score[landmarks[n]].item())[: top[1]]
            earlier = [n for n in earlier if n in best or n not in old]
        outer = score[[*own, *(landmarks[n] for n in earlier)]].softmax(0)
        parts = [outer[: len(own)]]
        parts += [
            share * score[members[n]].softmax(0)
            for share, n in zip(outer[len(own) :], earlier, strict=True)
        ]
        places = torch.tensor([*own, *(j for n in earlier for j in members[n])])
        rows.append(torch.zeros_like(score).index_put((places,), torch.cat(parts)))
    return torch.stack(rows)


def by_formula(query: Tensor, key: Tensor, value: Tensor, landmarks: Sequence[int]) -> Tensor:
    repeat = query.shape[0] // key.shape[0]
    return torch.stack(
        [
            weights_by_formula(query[h], key[h // repeat], landmarks) @ value[h // repeat]
            for h in range(query.shape[0])
        ]
    )


def states(tokens: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(HEADS, tokens, WIDTH), (GROUPS, tokens, WIDTH), (GROUPS, tokens, WIDTH)]
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    query, key, value = (tensor.to(dtype).requires_grad_() for tensor in made)
    return query, key, value


def weights(query: Tensor, key: Tensor, landmarks: Sequence[int], **more: Any) -> Tensor:
    """What attention weighs each token with, (H, Q, T): what it makes of values that say who they are."""
    who = torch.eye(key.shape[1], dtype=key.dtype).expand(key.shape[0], -1, -1)
    return attend_document(query, key, who, landmarks, scaling=SCALE, **more)


@pytest.fixture(params=["whole", "pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries all at once, or a few at a time and computed again on the way back."""
    if request.param == "pieces":
        monkeypatch.setattr(_landmark_blocks, "MOST_SCORES", 1)
        monkeypatch.setattr(_landmark_blocks, "LEAST_QUERIES", 7)


@pytest.mark.parametrize("landmarks", [(5, 11, 15, 30), (1, 3), (20,), (38,), (39,), ()])
@pytest.mark.usefixtures("pieces")
def test_outputs_and_gradients_are_those_of_the_formulas(landmarks: tuple[int, ...]) -> None:
    query, key, value = states(40)
    upstream = torch.randn(HEADS, 40, WIDTH, dtype=torch.float64)
    found = attend_document(query, key, value, landmarks, scaling=SCALE)
    wanted = by_formula(query, key, value, landmarks)
    torch.testing.assert_close(found, wanted)
    for got, want in zip(
        torch.autograd.grad(found, (query, key, value), upstream),
        torch.autograd.grad(wanted, (query, key, value), upstream),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.usefixtures("pieces")
def test_there_may_be_more_than_sixteen_blocks() -> None:
    query, key, value = states(54)
    landmarks = tuple(range(2, 54, 3))
    assert len(landmarks) > 16
    found = attend_document(query, key, value, landmarks, scaling=SCALE)
    torch.testing.assert_close(found, by_formula(query, key, value, landmarks))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_coarser_numbers(dtype: torch.dtype, tolerance: float) -> None:
    query, key, value = states(40, dtype)
    found = attend_document(query, key, value, (9, 19, 29), scaling=SCALE)
    assert found.dtype == dtype
    wanted = by_formula(query.double(), key.double(), value.double(), (9, 19, 29))
    assert (found.double() - wanted).abs().max() < tolerance


def test_without_a_landmark_it_is_plain_causal_attention() -> None:
    query, key, value = states(30)
    plain = nn.functional.scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=True, scale=SCALE, enable_gqa=True
    )[0]
    torch.testing.assert_close(attend_document(query, key, value, (), scaling=SCALE), plain)


def test_the_weights_of_a_query_sum_to_one_and_landmarks_have_none() -> None:
    query, key, _ = states(40)
    landmarks = (5, 11, 15, 30)
    found = weights(query, key, landmarks)
    torch.testing.assert_close(found.sum(-1), torch.ones(HEADS, 40, dtype=torch.float64))
    assert found[..., list(landmarks)].abs().max() == 0
    assert found.triu(1).abs().max() == 0
    assert found[:, 39, :30].min() >= 0
    assert (found[:, 39, :5] > 0).all()


def test_a_token_of_an_earlier_block_reaches_a_query_through_its_block_alone() -> None:
    query, key, _ = states(40)
    landmarks = (9, 19, 29)
    moved = key.detach().clone()
    moved[:, 14] += 1
    before, after = (weights(query, k, landmarks)[:, 35] for k in (key, moved))
    inside = slice(10, 19)
    assert (before[:, inside] - after[:, inside]).abs().min() > 0
    outside = [j for j in range(40) if not 10 <= j < 19]
    torch.testing.assert_close(before[:, outside], after[:, outside])
    torch.testing.assert_close(before[:, inside].sum(-1), after[:, inside].sum(-1))


def test_only_blocks_that_fit_best_are_read_besides_the_window() -> None:
    query, key, _ = states(60)
    landmarks = tuple(range(5, 60, 6))
    found = weights(query, key, landmarks, retrieval=Retrieval(2, 3))
    wanted = torch.stack(
        [weights_by_formula(query[h], key[0], landmarks, (2, 3)) for h in range(HEADS)]
    )
    torch.testing.assert_close(found, wanted)
    everything = weights(query, key, landmarks, retrieval=Retrieval(2, 10))
    torch.testing.assert_close(everything, weights(query, key, landmarks))
    last = weights(query[:, -1:], key, landmarks, retrieval=Retrieval(2, 3))
    torch.testing.assert_close(last, wanted[:, -1:])


def test_scores_are_never_held_for_every_query_key_and_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With pieces, what is kept for the gradients grows with the length, not with its square."""
    monkeypatch.setattr(_landmark_blocks, "MOST_SCORES", HEADS * 32 * 32)

    def kept(tokens: int) -> int:
        query, key, value = states(tokens, torch.float32)
        seen: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attend_document(query, key, value, tuple(range(50, tokens, 51)), scaling=SCALE)
        return sum(seen.values())

    assert kept(1024) < 3 * kept(512)


def test_dropout_drops_weights() -> None:
    query, key, value = states(40)
    torch.manual_seed(0)
    found = attend_document(query, key, value, (9, 19), scaling=SCALE, dropout=0.5)
    plain = attend_document(query, key, value, (9, 19), scaling=SCALE)
    assert not torch.allclose(found, plain)


def layout(kinds: Sequence[Sequence[int]], positions: Sequence[int] | None = None) -> Layout:
    told = None if positions is None else torch.tensor([list(positions)])
    return layout_of(torch.tensor([list(row) for row in kinds]), told)


def test_a_block_never_crosses_a_document() -> None:
    kinds = [ORDINARY, ORDINARY, LANDMARK, ORDINARY, ORDINARY, LANDMARK, ORDINARY]
    found = layout([kinds], [0, 1, 2, 3, 0, 1, 2]).documents
    assert [(d.begin, d.end, d.landmarks) for d in found] == [(0, 4, (2,)), (4, 7, (1,))]
    query, key, value = (x.detach()[None] for x in states(7))
    together = attend_row((query, key, value), layout([kinds], [0, 1, 2, 3, 0, 1, 2]))
    for begin, end in ((0, 4), (4, 7)):
        alone = (x[:, :, begin:end] for x in (query, key, value))
        one = attend_row(alone, layout([kinds[begin:end]]))
        torch.testing.assert_close(together[:, begin:end], one)


def attend_row(states: Iterable[Tensor], told: Layout | None) -> Tensor:
    query, key, value = states
    return landmark.attend(nn.Module(), query, key, value, None, scaling=SCALE, landmarks=told)[0]


def test_padding_on_both_sides_is_seen_by_nobody() -> None:
    kinds = [ORDINARY] * 3 + [LANDMARK] + [ORDINARY] * 3
    padded = [[PADDING, PADDING, *kinds], [*kinds, PADDING, PADDING]]
    query, key, value = (x.detach() for x in states(9))
    rows = [torch.stack([x, x.roll(-2, dims=1)]) for x in (query, key, value)]
    found = attend_row(rows, layout(padded))
    alone = attend_row((x[None, :, 2:] for x in (query, key, value)), layout([kinds]))
    torch.testing.assert_close(found[0, 2:], alone[0])
    torch.testing.assert_close(found[1, :7], alone[0])
    assert found[0, :2].abs().max() == found[1, 7:].abs().max() == 0


@pytest.mark.parametrize(
    ("kinds", "ends"),
    [
        ([LANDMARK, ORDINARY, LANDMARK], (2,)),
        ([ORDINARY, LANDMARK, LANDMARK, LANDMARK], (1, 3)),
        ([LANDMARK], ()),
    ],
)
def test_a_landmark_that_would_end_an_empty_block_is_a_token_like_others(
    kinds: list[int], ends: tuple[int, ...]
) -> None:
    assert layout([kinds]).documents[0].landmarks == ends


def test_without_being_told_the_landmarks_it_refuses() -> None:
    query, key, value = (x.detach()[None] for x in states(4))
    with pytest.raises(landmark.NotServed, match="not told where the landmarks are"):
        attend_row((query, key, value), None)
    with pytest.raises(landmark.NotServed, match="4 keys, and landmarks are known of 3"):
        attend_row((query, key, value), layout([[ORDINARY] * 3]))
    with pytest.raises(landmark.NotServed, match="'softcap'"):
        landmark.attend(
            nn.Module(), query, key, value, None, landmarks=layout([[ORDINARY] * 4]), softcap=2.0
        )


def test_it_is_for_llama_alone() -> None:
    assert landmark.why_not(Need("llama", interface=True, sdpa=True)) is None
    assert "for Llama models" in str(landmark.why_not(Need("mistral", interface=True, sdpa=True)))
