"""The papers by name."""

from attentio.grading.papers import bahdanau, local, luong, multi_head, scaled_dot_product
from attentio.grading.papers.causal_mask import CAUSAL_MASK
from attentio.grading.papers.mlm_masking import MLM_MASKING
from attentio.grading.papers.positional_encoding import POSITIONAL_ENCODING
from attentio.grading.papers.sparse import ENTMAX, SPARSEMAX

PAPERS = {
    paper.name: paper
    for paper in (
        bahdanau.BAHDANAU,
        bahdanau.STEPS,
        luong.DOT,
        luong.GENERAL,
        luong.CONCAT,
        luong.LOCATION,
        local.MONOTONIC,
        local.PREDICTIVE,
        scaled_dot_product.SCALED_DOT_PRODUCT,
        multi_head.MULTI_HEAD,
        SPARSEMAX,
        ENTMAX,
        CAUSAL_MASK,
        POSITIONAL_ENCODING,
        MLM_MASKING,
    )
}
