"""Causal language models as encoders: the vector of a text is the last layer's state at its last token.

Legend: N prompts, B texts of a batch, K answers, T tokens, A tokens of an answer, L semantic dim.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.errors import ModelError
from llactr.semantics.encoders.kinds import ENCODERS
from llactr.semantics.encoders.torch_encoder import GenerativeEncoder
from llactr.semantics.losses import answer_log_probability
from llactr.semantics.prompts import Prompts

__all__ = ["CausalLMEncoder", "last_token_states"]

_MAX_TOKENS = 512


def last_token_states(states: Tensor, attention_mask: Tensor) -> Tensor:
    """The state at each text's last token, whichever side is padded.

    Args:
        states: (B, T, L) states of all positions.
        attention_mask: (B, T), 1 at tokens and 0 at padding; a text without tokens gives its first position.

    Returns:
        (B, L).
    """
    positions = torch.arange(states.shape[1], device=states.device)
    last = (attention_mask * positions).argmax(dim=1)  # (B,)
    return states[torch.arange(states.shape[0], device=states.device), last]  # (B, L)


@ENCODERS.register("causal_lm")
class CausalLMEncoder(GenerativeEncoder):
    """A causal language model; besides vectors it gives the probability of an answer, for the generative loss."""

    kind = "causal_lm"
    pooling = "last_token"

    def __init__(self, *, name: str, folder: Path, prompts: Prompts, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        super().__init__(name=name, folder=folder, prompts=prompts, device=device, dtype=dtype)
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        if self._tokenizer.pad_token_id is None:
            if self._tokenizer.eos_token_id is None:
                raise ModelError(f"the tokenizer of {name!r} has neither a pad nor an end token: add one to its folder")
            self._tokenizer.pad_token = self._tokenizer.eos_token  # padding is masked, its token does not matter
        # On the right, whatever the folder says: a causal model never looks there, and positions start at 0.
        self._tokenizer.padding_side = "right"
        self._model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).to(device)
        self._model.eval()
        self._model.config.use_cache = False
        for parameter in self._model.parameters():
            parameter.requires_grad_(False)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder's `config.json` names a causal architecture.

        Raises:
            ModelError: there is none that can be read.
        """
        try:
            names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the model folder {folder} has an unreadable config.json ({error}): fetch it again"
            ) from None
        return any("ForCausalLM" in str(name) for name in names)

    @property
    def dim(self) -> int:
        """L, the length of a vector."""
        return int(self._model.get_input_embeddings().embedding_dim)

    @property
    def module(self) -> nn.Module:
        """The whole causal model."""
        model: nn.Module = self._model
        return model

    def embed(self, texts: list[str]) -> Tensor:
        """Unit vectors of one batch, (B, L) float32; texts beyond 512 tokens are cut."""
        # Models without a BOS token make nothing of an empty text; one masked-in pad token stands for it.
        texts = [text or self._tokenizer.pad_token for text in texts]
        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt")
        mask = batch["attention_mask"].to(self.device)  # (B, T)
        mask[:, 0] = 1
        states = self._states(batch["input_ids"].to(self.device), mask)  # (B, T, L)
        return F.normalize(last_token_states(states, mask).float(), dim=-1)  # (B, L)

    def continuation(self, prompt: str, *, most_tokens: int) -> str:
        """What the model writes after a prompt, the likeliest token at each step; at most so many tokens."""
        batch = self._tokenizer(prompt, truncation=True, max_length=2 * _MAX_TOKENS, return_tensors="pt").to(
            self.device
        )
        with torch.inference_mode():
            tokens = self._model.generate(
                **batch, max_new_tokens=most_tokens, do_sample=False, use_cache=True,
                pad_token_id=self._tokenizer.pad_token_id,
            )  # fmt: skip
        text: str = self._tokenizer.decode(tokens[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return text

    def log_probability(self, prompts: list[str], answers: list[str]) -> Tensor:
        """See `GenerativeEncoder`.

        Prompt and answer are tokenized apart, so that the same answer is the same tokens after every prompt.
        """
        start = [self._tokenizer(text, truncation=True, max_length=_MAX_TOKENS)["input_ids"] for text in prompts]
        end = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in answers]
        length = max(len(a) + len(b) for a, b in zip(start, end, strict=True))
        tokens = torch.full((len(start), length), self._tokenizer.pad_token_id, dtype=torch.long)
        mask, answer = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
        for row, (a, b) in enumerate(zip(start, end, strict=True)):
            tokens[row, : len(a) + len(b)] = torch.tensor(a + b)
            mask[row, : len(a) + len(b)] = 1
            answer[row, len(a) : len(a) + len(b)] = True
        tokens, mask, answer = tokens.to(self.device), mask.to(self.device), answer.to(self.device)
        # Scores over the vocabulary are the largest tensor by far: only from the last prompt token on.
        first = max(min(len(a) for a in start) - 1, 0)
        logits = self._model.get_output_embeddings()(self._states(tokens, mask)[:, first:])  # (B, T', vocabulary)
        return answer_log_probability(logits, tokens[:, first:], answer[:, first:])  # (B,)

    def log_probability_of_each(self, prompts: list[str], answers: list[str], *, rows: int = 64) -> NDArray[np.float32]:
        """log P(answer | prompt) of all pairs, (N, K) float32, without gradients.

        A prompt is read once and its attention cache shared by the K answers; prompts of equal length go together, so
        that nothing is padded before an answer.

        Args:
            prompts: N texts.
            answers: K texts.
            rows: pairs in one pass.
        """
        self.module.eval()
        start = [self._tokenizer(text, truncation=True, max_length=_MAX_TOKENS)["input_ids"] for text in prompts]
        end = self._tokenizer(answers, add_special_tokens=False, padding=True, return_tensors="pt")
        answer, present = end["input_ids"].to(self.device), end["attention_mask"].to(self.device)  # (K, A)
        found = np.empty((len(prompts), len(answers)), dtype=np.float32)
        of_length: dict[int, list[int]] = {}
        for row, tokens in enumerate(start):
            of_length.setdefault(len(tokens), []).append(row)
        at_once = max(rows // len(answers), 1)
        with torch.inference_mode():
            for same in of_length.values():
                for first in range(0, len(same), at_once):
                    chosen = same[first : first + at_once]
                    tokens = torch.tensor([start[row] for row in chosen], device=self.device)  # (B, T)
                    found[chosen] = self._continuations(tokens, answer, present).cpu().numpy()
        return found

    def _continuations(self, prompt: Tensor, answer: Tensor, present: Tensor) -> Tensor:
        """(B, K) log P of answers (K, A), padded as `present` says, after prompts (B, T) of one length."""
        batch, count = len(prompt), len(answer)
        read = self._model.get_decoder()(input_ids=prompt, use_cache=True)
        read.past_key_values.batch_repeat_interleave(count)
        tokens, kept = answer.repeat(batch, 1), present.repeat(batch, 1)  # (B*K, A)
        before = torch.ones((batch * count, prompt.shape[1]), dtype=kept.dtype, device=self.device)
        states = self._model.get_decoder()(
            input_ids=tokens,
            attention_mask=torch.cat([before, kept], dim=1),
            past_key_values=read.past_key_values,
            use_cache=True,
        ).last_hidden_state  # (B*K, A, L)
        last = read.last_hidden_state[:, -1:].repeat_interleave(count, dim=0)  # (B*K, 1, L)
        logits = self._model.get_output_embeddings()(torch.cat([last, states], dim=1))  # (B*K, 1+A, vocabulary)
        lead = torch.zeros_like(tokens[:, :1])
        total = answer_log_probability(logits, torch.cat([lead, tokens], dim=1), torch.cat([lead, kept], dim=1).bool())
        return total.reshape(batch, count)

    def _states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self._model.get_decoder()(input_ids=tokens, attention_mask=mask).last_hidden_state
        return states  # (B, T, L)
