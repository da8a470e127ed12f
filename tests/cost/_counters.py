"""A price against both counters."""

import torch

from gsfnas.candidate import Candidate
from gsfnas.cost import count_fvcore, count_ptflops, price
from gsfnas.model import build_model, counting_form

HEADS = {"class": 174}


def assert_counters_agree(candidate: Candidate) -> None:
    model = build_model(candidate, HEADS)
    cost = price(candidate, HEADS).total
    assert cost.params == sum(parameter.numel() for parameter in model.parameters())
    form = counting_form(model)
    clip = torch.zeros(1, candidate.frames, 3, candidate.resolution, candidate.resolution)
    fvcore = count_fvcore(form, clip)
    assert (cost.macs_fvcore, cost.activations) == (fvcore.operations, fvcore.activations)
    assert cost.macs_ptflops == count_ptflops(form, clip)
