import json

from rich.console import Console

from attentio.evaluation.by_length import by_source_length
from attentio.evaluation.metrics import score
from attentio.evaluation.report import as_json, length_table, score_table

HYPOTHESES, REFERENCES = ["a b c d", "x", "q r"], [["a b c d"], ["y"], ["q r", "s"]]


def printed(renderable):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_report_survives_json_with_signatures():
    scores = score(HYPOTHESES, REFERENCES, metrics=["wer", "bleu"])
    bins = by_source_length([3, 5, 7], HYPOTHESES, REFERENCES, metric="wer", bins=2)
    report = as_json(scores, bins)
    assert json.loads(json.dumps(report)) == report
    assert report["scores"][0]["value"] == scores[0].value
    assert report["scores"][1]["signature"] == scores[1].signature
    assert [each["count"] for each in report["by_source_length"]] == [each.count for each in bins]
    assert report["by_source_length"][0]["score"]["name"] == "wer"


def test_the_table_shows_the_signature_beside_bleu():
    text = printed(score_table(score(HYPOTHESES, REFERENCES, metrics=["wer", "bleu"])))
    bleu_row = next(line for line in text.splitlines() if "bleu" in line)
    assert "nrefs:var" in bleu_row
    assert "33.33" in next(line for line in text.splitlines() if "wer" in line)


def test_the_length_table_shows_each_span_of_lengths():
    bins = by_source_length([3, 5, 7], HYPOTHESES, REFERENCES, metric="wer", bins=2)
    lines = printed(length_table(bins)).splitlines()
    assert [each.count for each in bins] == [1, 2]
    assert any("3" in line and "0.00" in line for line in lines)
    assert any("5-7" in line and "50.00" in line for line in lines)
