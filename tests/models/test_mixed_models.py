"""A recurrent decoder over a Transformer encoder, and the other way round: any encoder with any decoder."""

import papers
import pytest
import torch
import transformer_papers
from papers import Variant
from small_models import TARGET, assert_same, draw_sentences, of_the_paper
from small_transformers import SETTINGS, TARGET_VOCABULARY, VOCABULARY, configured, drawn

from attentio.config.schema import ModelConfig
from attentio.decoding.search import search
from attentio.models import presets
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.transformer_presets import transformer_decoder, transformer_encoder

VARIANTS = [
    Variant("plain"),
    Variant("bahdanau", "concat"),
    Variant("delayed"),
    Variant("luong", "general", input_feeding=True),
    Variant("luong", "concat", "p"),
    Variant("luong", "concat"),
]
SETTING = SETTINGS[1]
PAIRS = pytest.mark.parametrize("parts", [*VARIANTS, *SETTINGS[:3]], ids=str)


def recurrent_over_transformer(variant):
    encoder = transformer_encoder(configured(SETTING), vocabulary=VOCABULARY)
    hidden = encoder.features if variant.paper == "delayed" else 7
    config = ModelConfig(embedding=5, hidden=hidden, cell="gru", dropout=0.0, **of_the_paper(variant))
    return drawn(getattr(presets, variant.paper)(config, encoder, vocabulary=TARGET_VOCABULARY))


def transformer_over_recurrent(setting):
    config = ModelConfig(embedding=5, encoder_hidden=3, encoder_layers=2, dropout=0.0)
    encoder = presets.recurrent_encoder(config, vocabulary=VOCABULARY)
    decoder = transformer_decoder(configured(setting), vocabulary=TARGET_VOCABULARY, memory_features=encoder.features)
    return drawn(EncoderDecoder(encoder, decoder))


def build(parts):
    return recurrent_over_transformer(parts) if isinstance(parts, Variant) else transformer_over_recurrent(parts)


class OverTransformer(papers.ByHand):
    """The recurrent decoders by hand, reading what the Transformer by hand has read; the summary is its mean."""

    def __init__(self, model, variant):
        super().__init__(model, variant, cell="gru")
        self.transformer = transformer_papers.ByHand(model, SETTING)

    def encode(self, source):
        annotations, _ = self.transformer.encode(source)
        mean = sum(annotations) / len(annotations)
        nothing = mean[:0]
        return annotations, *((nothing, mean) if self.variant.paper == "bahdanau" else (mean, nothing))


def logits_by_hand(model, parts, sentences):
    rows = []
    for source, target in sentences.one_by_one():
        if isinstance(parts, Variant):
            rows.append(OverTransformer(model, parts).decode(source, target).logits)
        else:
            memory, _, _ = papers.ByHand(model, Variant("plain"), cell="lstm").encode(source)
            rows.append(transformer_papers.ByHand(model, parts).decode(memory, target)[0])
    return torch.stack(rows)


@PAIRS
def test_logits_and_gradients_follow_the_papers(seed, parts):
    model, sentences = build(parts), draw_sentences()
    logits, expected = model(*sentences), logits_by_hand(model, parts, sentences)
    assert_same(logits, expected)
    weighting = torch.randn_like(logits)
    parameters = list(model.parameters())
    got = torch.autograd.grad((logits * weighting).sum(), parameters)
    papers_say = torch.autograd.grad((expected * weighting).sum(), parameters)
    for mine, theirs in zip(got, papers_say, strict=True):
        assert_same(mine, theirs)


@PAIRS
def test_step_by_step_equals_teacher_forced_also_after_reordering(seed, parts):
    model, (source, lengths, target) = build(parts), draw_sentences()
    with torch.no_grad():
        logits = model(source, lengths, target)
        state, rows = model.start(model.encode(source, lengths)), torch.arange(3)
        for t in range(TARGET):
            token = target[rows, t : t + 1]
            token = token if t == 0 else token.expand(-1, 2)
            step = model.step(token, state)
            assert_same(step.logits, logits[rows, t : t + 1].expand_as(step.logits))
            state = step.state.reorder(torch.zeros(len(rows), 2, dtype=torch.long))
            if t == 2:
                kept = torch.tensor([2, 0])
                state, rows = state.keep(kept), rows[kept]


@PAIRS
def test_hypotheses_are_those_of_scoring_them_again_whatever_else_is_in_the_batch(seed, parts):
    model, (source, lengths, _) = build(parts), draw_sentences()
    options = {"begin": 1, "end": 2, "forbidden": (0, 1), "beam": 3, "n_best": 2}
    with torch.no_grad():
        state = model.start(model.encode(source, lengths))
        found = search(model, state, max_lengths=torch.tensor([5, 7, 4]), **options)
        for row, hypotheses in enumerate(found):
            n = lengths[row : row + 1]
            for tokens, _, log_prob, *_ in hypotheses:
                target = torch.tensor([[1, *tokens]])
                log_probs = model(source[row : row + 1, : n[0]], n, target)[0].log_softmax(-1)
                again = sum(log_probs[i, token].item() for i, token in enumerate([*tokens, 2]))
                assert log_prob == pytest.approx(again, rel=1e-9, abs=1e-9)


@PAIRS
def test_every_mixture_trains_in_mixed_precision(seed, parts):
    model, sentences = build(parts).float(), draw_sentences()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*sentences)
    logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters())
