"""The two losses of field-feature fine-tuning; a value that occurs in several fields is a positive for each of them.

LLaCTR (arXiv 2505.14057), self-supervised field-feature fine-tuning. We differ in one thing: the reference keeps one
field per value (the last one read), which makes `25` of `age` a negative for `hour`.

Legend: B values, K fields, L semantic dim, T tokens.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["answer_log_probability", "contrastive_loss", "field_logits"]


def field_logits(queries: Tensor, fields: Tensor, *, temperature: float) -> Tensor:
    """Cosines of values and fields over the temperature.

    Args:
        queries: (B, L) vectors of the value prompts.
        fields: (K, L) vectors of the field texts.
        temperature: tau, above 0.

    Returns:
        (B, K).
    """
    return F.normalize(queries, dim=-1) @ F.normalize(fields, dim=-1).T / temperature


def contrastive_loss(queries: Tensor, fields: Tensor, positives: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE over the K fields, the mean over the positives of a value taken outside the logarithm.

    -1/|P| sum_{k in P} log( exp(cos(q, h_k)/tau) / sum_l exp(cos(q, h_l)/tau) ), averaged over the batch. With one
    positive it is the reference's loss.

    Args:
        queries: (B, L) vectors of the value prompts.
        fields: (K, L) vectors of the field texts.
        positives: (B, K) bool, at least one True a row: the fields that the value occurs in.
        temperature: tau, above 0.

    Returns:
        a scalar.
    """
    log_share = field_logits(queries, fields, temperature=temperature).log_softmax(dim=-1)  # (B, K)
    weight = positives.to(log_share.dtype)
    return -((log_share * weight).sum(dim=-1) / weight.sum(dim=-1)).mean()


def answer_log_probability(logits: Tensor, tokens: Tensor, answer: Tensor) -> Tensor:
    """log P(answer | prompt) of each row, a sum over the answer's tokens; its negative mean is the generative loss.

    Args:
        logits: (B, T, vocabulary) next-token scores; those at t speak about the token at t + 1.
        tokens: (B, T) the prompt's and the answer's tokens.
        answer: (B, T) bool, True at the answer's tokens; never at t = 0.

    Returns:
        (B,).
    """
    log_probability = logits[:, :-1].float().log_softmax(dim=-1)  # (B, T-1, vocabulary)
    chosen = log_probability.gather(-1, tokens[:, 1:, None]).squeeze(-1)  # (B, T-1)
    return (chosen * answer[:, 1:]).sum(dim=-1)
