"""What an argument of somebody's function is: told from its name, else from its place."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from attentio.errors import AttentioError
from attentio.grading.paper import Paper

_NAMES = {
    "query": "query queries q qs s st s_t sprev s_prev s_i_1 sipre state states decoder_state decoder_states "
    "decoder_hidden decoder_hiddens dec_hidden dec_hid dec_state dec_states dec hidden hidden_state h_t ht h_dec "
    "prev_hidden prev_state previous_state hidden_prev h_prev decoder decoder_output decoder_outputs dec_output "
    "dec_out dec_h target tgt target_state rnn_output last_hidden query_states hid",
    "key": "key keys k ks hs h_s h_j hj annotations encoder_outputs encoder_output encoder_states encoder_hidden "
    "encoder_hiddens enc_outputs enc_output enc_out enc_outs enc_states enc enc_hidden h_enc encoder enc_h memory "
    "memory_bank source source_states src sources contexts encodings hiddens outputs key_states encoder_out",
    "value": "value values val vals v vs value_states",
    "x": "x inputs input x_in embeddings hidden_states tokens_in X seq sequence",
    "mask": "mask attn_mask attention_mask src_mask source_mask m padding_mask pad_mask key_padding_mask "
    "key_mask valid valid_mask keep keep_mask ignore drop enc_mask encoder_mask memory_mask masks is_pad pad real",
    "lengths": "lengths length lens valid_lens valid_len src_len src_lens src_lengths source_lengths enc_lens "
    "x_lens key_lengths memory_lengths encoder_lengths S",
    "W": "W Wa W_a w wa W1 W_1 W_s Ws W_q Wq W_query weight W_dec W_d W_general Wd Wl W_loc weights W_align W_h1",
    "U": "U Ua U_a u ua W2 W_2 W_h Wh W_k Wk W_key W_enc W_e U_h We",
    "v": "va v_a vector v_t V_a Va V energy v_att vT",
    "b": "b bias b_a ba",
    "Q": "W_Q WQ Wq W_q wq w_q W_query q_weight q_proj",
    "K": "W_K WK Wk W_k wk w_k W_key k_weight k_proj",
    "V": "W_V WV Wv W_v wv w_v W_value v_weight v_proj",
    "O": "W_O WO Wo W_o wo w_o W_out out_weight o_proj out_proj W_output",
    "heads": "heads num_heads n_heads nheads nhead n_head num_head number_of_heads h n_h H",
    "D": "D window half_window d_window window_size half width reach",
    "t": "t step position pos target_position timestep time i time_step",
    "Wp": "W_p Wp wp w_p",
    "vp": "v_p vp Vp V_p",
    "width": "d_k dk dim d_model d_head head_dim features hidden_size",
    "dropout": "dropout p dropout_p drop_p dropout_rate",
    "off": "need_weights average_attn_weights is_causal training causal train return_attention deterministic",
}


def _plain(name: str) -> str:
    return name.replace("_", "")


_EXACT: dict[str, list[str]] = {}
_LOWER: dict[str, list[str]] = {}
for _role, _names in _NAMES.items():
    for _name in _names.split():
        for _table, _key in ((_EXACT, _plain(_name)), (_LOWER, _plain(_name).lower())):
            if _role not in _table.setdefault(_key, []):
                _table[_key].append(_role)

SEQUENCES = ("query", "key", "value")
_OF_ITSELF = ("multi-head", "scaled-dot-product")
"""Papers whose attention may be of one sequence to itself."""
_LEFT_ALONE = ("width", "dropout", "off")
"""Roles of arguments that keep their defaults."""


class Signature(NamedTuple):
    """Roles of the arguments that code is called with, by the names of its parameters.

    roles: of each parameter that is given something.
    optional: names that may be left out.
    positional: names that can be given by place: what wraps a function, as `torch.vmap`, may hand on no others.
    """

    roles: Mapping[str, str]
    optional: frozenset[str]
    positional: tuple[str, ...]

    def name_of(self, role: str) -> str | None:
        """The parameter that has a role."""
        return next((name for name, one in self.roles.items() if one == role), None)


def roles_of_name(name: str, paper: Paper) -> tuple[str, ...]:
    """What a name may stand for, the likeliest first."""
    plain = _plain(name)
    own = paper.names.get(plain.lower(), ()) if len(plain) == 1 and plain.islower() else ()
    stripped = re.sub(r"(batch|seq|tensor|vec|vecs|mat|matrix)$", "", plain.lower())
    found = [*own, *_EXACT.get(plain, ()), *_LOWER.get(plain.lower(), ()), *_LOWER.get(stripped, ())]
    return tuple(dict.fromkeys(found))


def signature_of(code: Callable[..., Any], paper: Paper) -> Signature:
    """Raises AttentioError where it cannot be told what an argument is."""
    try:
        parameters = list(inspect.signature(code).parameters.values())
    except (TypeError, ValueError):  # compiled: by place, as the example
        names = [name for name in _example(paper) if name != "mask"]
        return Signature({name: roles_of_name(name, paper)[0] for name in names}, frozenset(), tuple(names))
    parameters = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if not parameters:
        raise AttentioError(f"{_called(code)} takes no named arguments; write it as: {paper.signature}")
    wanted = _wanted(paper)
    roles: dict[str, str] = {}
    for one in parameters:
        possible = [role for role in roles_of_name(one.name, paper) if role in wanted and role not in roles.values()]
        if possible and (one.default is one.empty or possible[0] not in _LEFT_ALONE):
            roles[one.name] = possible[0]
    free = [role for role in _in_order(paper, len(parameters)) if role not in roles.values()]
    for one in parameters:
        if one.name not in roles and one.default is one.empty:
            if not free:
                told = f"{_called(code)}: it is not clear what its argument {one.name!r} is"
                raise AttentioError(f"{told}; write it as: {paper.signature}")
            roles[one.name] = free.pop(0)
    if not {"query", "key", "value", "x"} & set(roles.values()):
        raise AttentioError(f"{_called(code)} takes neither a query nor keys; write it as: {paper.signature}")
    taken = set(roles.values()) & {"x", *SEQUENCES}
    if taken == {"x", "query"}:
        roles = {name: "key" if role == "x" else role for name, role in roles.items()}
    elif taken == {"x", "key"}:
        roles = {name: "query" if role == "x" else role for name, role in roles.items()}
    elif taken in ({"query"}, {"key"}, {"value"}) and paper.name in _OF_ITSELF:
        roles = {name: "x" if role in SEQUENCES else role for name, role in roles.items()}
    return Signature(
        {one.name: roles[one.name] for one in parameters if one.name in roles},
        frozenset(one.name for one in parameters if one.default is not one.empty),
        tuple(one.name for one in parameters if one.kind is not one.KEYWORD_ONLY),
    )


def _wanted(paper: Paper) -> set[str]:
    shapes = {role for layout in paper.layouts for role in layout.shapes}
    extra = {"local-p": {"D"}, "local-m": {"D", "t"}, "multi-head": {"heads"}}.get(paper.name, set())
    wanted = {"query", "key", "value", "x", "mask", "lengths", "width", "dropout", "off"} | extra | shapes
    if "WU" in shapes:
        wanted |= {"W", "b"}
    return wanted


def _in_order(paper: Paper, count: int) -> list[str]:
    """Roles by place, as in the example signature."""
    by_place = [roles_of_name(name, paper)[0] for name in _example(paper)]
    return ["x", *by_place] if count == 1 and paper.name in _OF_ITSELF else by_place


def _example(paper: Paper) -> list[str]:
    inside = paper.signature.partition("(")[2].partition(")")[0]
    return [one.partition("=")[0].strip() for one in inside.split(",")]


def _called(code: Any) -> str:
    return getattr(code, "__qualname__", None) or type(code).__name__
