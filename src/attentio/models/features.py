"""Features of a source as tokens of its encoder."""

import math

from torch import nn

from attentio.layers.feature_embedding import FeatureEmbedding
from attentio.models.recurrent import RecurrentEncoder
from attentio.models.transformer import TransformerEncoder


def read_features(encoder: RecurrentEncoder | TransformerEncoder, count: int, *, unknown: int) -> None:
    """Let an encoder read ids of so many features, behind those of its tokens. unknown: the id of the unknown token.

    They stand behind the text, so that any attention can look at each of them: most models of inflection (SIGMORPHON's
    shared tasks) and of several languages (Johnson et al. 2017) give them so. In a Transformer with absolute positions
    they have none: a feature means the same wherever it stands (Wu, Cotterell & Hulden 2021, section 2).
    """
    if isinstance(encoder, TransformerEncoder):
        tokens = FeatureEmbedding(encoder.embedding.tokens, count, unknown=unknown)
        nn.init.normal_(tokens.features.weight, std=1 / math.sqrt(tokens.embedding_dim))
        encoder.embedding.tokens = tokens
    else:
        encoder.embedding = FeatureEmbedding(encoder.embedding, count, unknown=unknown)
