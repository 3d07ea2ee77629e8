"""Tokens drawn by chance: as probable as they should be, and each answer by its own seed."""

from __future__ import annotations

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from axolotl.inference.options import GenerationOptions
from axolotl.inference.sampling import Draw, Penalty, seed_of

SCORES = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -4.0])


def shares(count: int = 20_000, **options: float) -> torch.Tensor:
    """How often each token is drawn."""
    how = GenerationOptions.of(**({"temperature": 1.0, "top_p": 1.0, "top_k": 0} | options))
    draw = Draw(how, [3])
    none = torch.zeros(1, 0, dtype=torch.long)
    drawn = [int(draw(none, SCORES[None]).argmax()) for _ in range(count)]
    return torch.bincount(torch.tensor(drawn), minlength=len(SCORES)) / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_as_probable_as_their_scores_say(temperature: float) -> None:
    wanted = (SCORES / temperature).softmax(0)
    assert (shares(temperature=temperature) - wanted).abs().max() < 0.015


def test_what_is_left_out_is_never_drawn() -> None:
    assert (shares(2000, top_k=2) > 0).tolist() == [True, True, False, False, False, False]
    # 0.55, 0.20, 0.12, … are the probabilities.
    assert (shares(2000, top_p=0.6) > 0).tolist() == [True, True, False, False, False, False]
    assert (shares(2000, min_p=0.3) > 0).tolist() == [True, True, False, False, False, False]
    everything = shares(20_000, temperature=3)
    assert (everything > 0).all()


def test_each_answer_has_its_own_chance() -> None:
    how = GenerationOptions.of(temperature=1.0)
    none, alone = torch.zeros(1, 0, dtype=torch.long), Draw(how, [7])
    among = Draw(how, [5, 7, 9])
    for _ in range(20):
        mine = alone(none, SCORES[None])[0]
        others = among(none.expand(3, 0), SCORES.expand(3, -1))
        assert torch.equal(mine, others[1])
        assert not torch.equal(mine, others[0])


def test_seeds_lie_apart() -> None:
    found = {seed_of(seed, number) for seed in range(100) for number in range(100)}
    assert len(found) == 10_000
    assert max(found) < 2**32, "the generator looks at no more"


def test_what_has_no_chance_is_never_chosen() -> None:
    scores = torch.full((1, 6), -torch.inf)
    scores[0, 4] = 0.0
    draw = Draw(GenerationOptions.of(temperature=1.0), [1])
    for _ in range(50):
        assert draw(torch.zeros(1, 0, dtype=torch.long), scores).argmax() == 4


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_the_penalty_is_the_librarys_and_padding_is_no_token(penalty: float) -> None:
    said = torch.tensor([[0, 0, 2, 3, 3], [1, 4, 0, 2, 1]])
    mask = torch.tensor([[0, 0, 1], [1, 1, 1]])
    scores = torch.stack([SCORES, -SCORES])
    found = Penalty(penalty, mask)(said, scores)
    library = RepetitionPenaltyLogitsProcessor(penalty)
    for row, real in enumerate([said[0, 2:], said[1]]):
        alone = library(real[None], scores[row : row + 1])  # pyright: ignore[reportArgumentType]
        assert torch.equal(found[row], alone[0])
        assert torch.equal(Penalty(penalty)(real[None], scores[row : row + 1]), alone)
    assert found[0, 0] == scores[0, 0], "padding was counted as said"
