"""Bahdanau, Cho and Bengio 2014: Neural Machine Translation by Jointly Learning to Align and Translate."""

from attentio.grading.paper import Answer, Deviation, Given, Has, Paper
from attentio.grading.papers import attending
from attentio.grading.papers.additive import ADDITIVE, LAYOUTS, SIZES, additive


def oracle(given: Given, has: Has) -> Answer:
    """Appendix A.1.2 and A.2.2, for all steps at once: row i of `query` is s_{i-1}."""
    return attending.answer(additive(given, has), given, has)


def steps_oracle(given: Given, has: Has) -> Answer:
    """The same from the decoder's states s_0 .. s_T: c_i is made from s_{i-1}, so s_T is not used."""
    states = given["query"]
    first, last = (1, 0) if has("current state") else (0, -1)
    query = states[:, first : states.shape[1] + last]
    if has("state before the previous one"):
        query = states[:, [0, *range(states.shape[1] - 2)]]
    if has("initial state for all"):
        query = states[:, :1].expand_as(query)
    return oracle({**given, "query": query}, has)


_EQUATION = {
    "score": "e_ij = v_a . tanh(W_a s_{i-1} + U_a h_j)",
    **attending.EQUATION,
}
_REFERENCE = "Bahdanau et al. 2014, section 3.1 and appendix A.1.2"
BAHDANAU = Paper(
    name="bahdanau",
    reference=_REFERENCE,
    equation=_EQUATION,
    oracle=oracle,
    deviations={**ADDITIVE, **attending.COMMON},
    signature="def attention(query, keys, W, U, v, mask=None): return context, weights",
    sizes=SIZES,
    layouts=LAYOUTS,
    names={"h": ("key",), "v": ("v", "value")},
)
STEPS = Paper(
    name="bahdanau-steps",
    reference=_REFERENCE,
    equation=_EQUATION,
    oracle=steps_oracle,
    deviations={
        "current state": Deviation(
            "score",
            "step i looks with s_i; Bahdanau's step i looks with the previous state s_{i-1} (with s_i it is Luong's)",
            "i번째 단계가 s_i로 봅니다. Bahdanau는 이전 상태 s_{i-1}로 봅니다(s_i를 쓰면 Luong의 방식입니다)",
        ),
        "state before the previous one": Deviation(
            "score",
            "the states are one step late: step i looks with s_{i-2}",
            "상태가 한 단계 늦습니다. i번째 단계가 s_{i-2}로 봅니다",
        ),
        "initial state for all": Deviation(
            "score",
            "every step looks with s_0: the state is never updated",
            "모든 단계가 s_0으로 봅니다. 상태가 갱신되지 않습니다",
        ),
        **ADDITIVE,
        **attending.COMMON,
    },
    signature="def contexts(states, annotations, W, U, v): return contexts  # states s_0..s_T, contexts c_1..c_T",
    sizes=SIZES,
    layouts=LAYOUTS,
    names={"h": ("key",), "v": ("v", "value")},
)
