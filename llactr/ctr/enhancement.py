"""What field vectors do to a backbone; one module for all six.

FRE (feature representation): loss += lambda_fre * mean over rows of the sum over fields of
KL(softmax(W h_k + b) || softmax(e_k)).
FIE (feature interaction): logit += lambda_fie * sum_{i<j} w_ij <e_i, e_j> with w = A c + a, c the cosines of h.
(arXiv 2505.14057, sections on FRE and FIE, as in the authors' code.) We differ in two ways: FIE is per row for every
backbone, where the authors' FinalMLP and WuKong add one number to all rows; and what depends on h alone, or on the
parameters alone, is computed once per version or per step, never per row.

Letters: B rows, F fields, P pairs i<j of fields, D embedding dim, L semantic dim, V semantics versions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from llactr.ctr.config import EnhancementConfig
from llactr.ctr.embedding import FusedEmbedding
from llactr.ctr.lookup import Lookup
from llactr.ctr.pairs import PairWeights, pair_count

__all__ = ["Enhancement"]


class Enhancement(nn.Module):
    """FRE and FIE over the field vectors of one or more semantics versions.

    Args:
        config: which of the two, and their lambdas.
        field_vectors: (V, F, L) float.
        dim: D of the backbone's embeddings.
    """

    def __init__(self, config: EnhancementConfig, *, field_vectors: Tensor, dim: int) -> None:
        super().__init__()
        self.config = config
        self.version_count, field_count, semantic_dim = field_vectors.shape
        pairs = pair_count(field_count)
        self.field_vectors: Tensor
        self.cosines: Tensor
        self.register_buffer("field_vectors", field_vectors, persistent=False)
        self.register_buffer("cosines", _pair_cosines(field_vectors), persistent=False)  # (V, P)
        self.projection = nn.Linear(semantic_dim, dim) if config.fre else None
        self.interaction = nn.Linear(pairs, pairs) if config.fie else None
        self._folded: tuple[tuple[int, ...], Tensor] | None = None

    def train(self, mode: bool = True) -> Enhancement:
        """Forgets the folded weights: fused Adam changes parameters without counting their versions."""
        if mode:
            self._folded = None
        return super().train(mode)

    def pair_weights(self, version: Tensor | None) -> PairWeights | None:
        """lambda_fie * w of each version, for a backbone to add to its own pair weights; None without FIE.

        Args:
            version: (B,) int, the version of each row; None when there is one.
        """
        if self.interaction is None:
            return None
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            return PairWeights(self._weights(self.interaction), version)
        # Scoring: w changes only with the parameters, whose versions torch counts.
        state = tuple(number for p in self.interaction.parameters() for number in (p.data_ptr(), p._version))
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, self._weights(self.interaction))
        return PairWeights(self._folded[1], version)

    def representation_loss(
        self, embedding: FusedEmbedding, lookup: Lookup, *, embedded: Tensor | None, version: Tensor | None
    ) -> Tensor:
        """The divergence of FRE, without its lambda; a scalar.

        With p the target of a field and l = log softmax(e), KL = sum p log p - <p, l>, so only the sums of l over the
        rows of each field are needed, and a feature that occurs n times in the batch counts n times: l is computed
        once per row of the table (small tables) or once per distinct feature in the batch.

        Args:
            embedding: knows which rows belong to which field.
            lookup: the table in use, and the batch's rows of it.
            embedded: (B, F, D), read for multi-valued fields, whose embeddings are not rows of the table.
            version: (B,) int, or None when there is one.
        """
        assert self.projection is not None
        targets = torch.log_softmax(self.projection(self.field_vectors), dim=-1)  # (V, F, D), log p
        sums = self._table_sums(lookup, embedding.single_valued_rows(lookup.rows), version)  # (V, F, D)
        for field in embedding.multi_valued_fields():
            assert embedded is not None
            sums = sums + self._dense_sums(embedded, field, version)
        batch = lookup.rows.shape[0]
        if version is None:
            shares = targets.new_ones(1)
        else:
            shares = torch.bincount(version, minlength=self.version_count).to(targets.dtype) / batch  # (V,)
        return (targets.exp() * (targets * shares.view(-1, 1, 1) - sums / batch)).sum()

    def _weights(self, interaction: nn.Linear) -> Tensor:
        return self.config.lambda_fie * interaction(self.cosines)  # (V, P)

    def _table_sums(self, lookup: Lookup, rows: Tensor, version: Tensor | None) -> Tensor:
        """Sums of log softmax(e) over single-valued fields, by version and field: (V, F, D)."""
        table, fields = lookup.table, lookup.fields
        flat = rows.reshape(-1)
        if table.shape[0] > flat.shape[0]:
            distinct, flat = torch.unique(flat, return_inverse=True)
            table, fields = table.index_select(0, distinct), fields.index_select(0, distinct)
        size = table.shape[0]
        if version is not None:
            flat = flat + size * version.repeat_interleave(rows.shape[1])
        counts = torch.bincount(flat, minlength=size * self.version_count).view(self.version_count, size)
        return self._sums(table, counts.to(table.dtype), fields)

    def _dense_sums(self, embedded: Tensor, field: int, version: Tensor | None) -> Tensor:
        """Sums of log softmax(e) of one field over the batch, by version: (V, F, D), zero elsewhere."""
        batch = embedded.shape[0]
        weights = embedded.new_ones(1, batch)
        if version is not None:
            weights = functional.one_hot(version.long(), self.version_count).t().to(embedded.dtype)  # (V, B)
        return self._sums(embedded[:, field], weights, torch.full((batch,), field, device=embedded.device))

    def _sums(self, rows: Tensor, weights: Tensor, fields: Tensor) -> Tensor:
        """Weighted sums of log softmax over rows: (N, D), (V, N) and (N,) to (V, F, D)."""
        log_shares = torch.log_softmax(rows, dim=1)  # (N, D)
        zeros = rows.new_zeros(self.field_vectors.shape[1], rows.shape[1])
        return torch.stack([zeros.index_add(0, fields, log_shares * w.unsqueeze(1)) for w in weights])


def _pair_cosines(field_vectors: Tensor) -> Tensor:
    """(V, F, L) to (V, P), the upper triangle of the cosine matrix, row by row."""
    unit = functional.normalize(field_vectors, dim=-1)
    cosines = unit @ unit.mT  # (V, F, F)
    first, second = torch.triu_indices(cosines.shape[1], cosines.shape[2], offset=1)
    return cosines[:, first, second]
