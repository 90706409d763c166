"""attentio serve: a real process on a real port, asked over HTTP, and ended."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from untrained_runs import untrained

from attentio.commands.answers import GOES_ON, routes
from attentio.commands.run import Run
from attentio.errors import AttentioError
from attentio.serving.server import Reply


@pytest.fixture(scope="module")
def process(toy) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it says."""
    started = subprocess.Popen(
        [sys.executable, "-m", "attentio", "serve", str(toy.run), "--page", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        said = started.stdout.readline()
        assert said.startswith(f"{toy.run} at http://127.0.0.1:"), said or started.communicate(timeout=10)
        yield started, said.removeprefix(f"{toy.run} at ").split()[0]
    finally:
        started.kill()
        started.communicate(timeout=10)


def post(url: str, content: object) -> Any:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_a_served_run_translates_shows_and_ends(toy, process) -> None:
    server, url = process
    (expected,) = Run.load(toy.run).translate(["abcd"])
    answer = post(f"{url}/translate", {"text": "abcd"})
    assert answer["text"] == "abcd"
    (translation,) = answer["translations"]
    assert (translation["text"], translation["tokens"]) == (expected.text, expected.tokens)
    assert translation["score"] == pytest.approx(expected.score, abs=1e-4)
    assert "attention" not in translation

    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{url}/translate", {"text": "a<s>"})
    with refused.value as reply:
        assert (reply.code, json.load(reply)) == (
            400,
            {"error": "text: holds the reserved symbol <s>; remove or rewrite it"},
        )

    with urllib.request.urlopen(f"{url}/?language=ko", timeout=30) as reply:
        assert "번역" in reply.read().decode()
    with urllib.request.urlopen(f"{url}/look", b"text=abcd&language=ko", timeout=30) as reply:
        page = reply.read().decode()
        assert reply.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert page.startswith('<!DOCTYPE html>\n<html lang="ko">')

    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=20)
    assert (server.returncode, out) == (0, "ended\n")
    assert "Traceback" not in err
    assert "abcd" not in err, "what people type is not logged"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)


def test_a_port_in_use_is_told(toy, attentio: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = attentio("serve", toy.run, "--port", port)
    assert said.code == 2
    assert said.err == (
        f"attentio: cannot listen on port {port} of 127.0.0.1: Address already in use; "
        "choose another with --port, or 0 for any that is free\n"
    )


def asked(run: Any, path: str, *, page: bool = False, **fields: object) -> Any:
    reply = routes(run, page=page)[path].answer(fields, {})
    return json.loads(reply.body) if reply.kind.startswith("application/json") else reply


def test_translations_come_with_alternatives_and_attention_on_request(seed: int) -> None:
    answer = asked(untrained(), "/translate", text="abc", n_best=2, beam=3, attention=True)
    first, second = answer["translations"]
    assert first["score"] >= second["score"]
    assert len(first["attention"]) == len(first["tokens"])
    assert {len(row) for row in first["attention"]} == {4}
    assert set(first) == {"text", "tokens", "source_tokens", "score", "attention"}


def test_a_masked_model_fills_and_a_causal_one_goes_on(seed: int) -> None:
    run = untrained(type="masked-lm")
    (hole,) = asked(run, "/fill", text="ab[MASK]", top=2)["holes"]
    assert hole == [vars(candidate) for candidate in run.fill("ab[MASK]", top=2)[0]]
    run = untrained(type="causal-lm")
    answer = asked(run, "/generate", text="ab", samples=2, max_tokens=5, seed=7, temperature=0.5, top_k=3)
    assert [one["text"][:2] for one in answer["samples"]] == ["ab", "ab"]
    assert answer == asked(run, "/generate", text="ab", samples=2, max_tokens=5, seed=7, temperature=0.5, top_k=3)
    assert len(asked(run, "/generate", max_tokens=1)["samples"][0]["tokens"]) == 1, "no text begins a text"


@pytest.mark.parametrize(
    ("type", "path", "fields", "told"),
    [
        ("encoder-decoder", "/translate", {}, "text must be a text, got nothing"),
        ("encoder-decoder", "/translate", {"text": " "}, "text: empty"),
        ("encoder-decoder", "/translate", {"text": "a\ud800"}, "half of a surrogate pair"),
        ("encoder-decoder", "/translate", {"text": "a", "n_best": 4, "beam": 3}, "n_best must be a whole number"),
        ("encoder-decoder", "/translate", {"text": "a", "beams": 3}, "unknown field 'beams': did you mean beam?"),
        ("masked-lm", "/fill", {"text": "ab"}, "no [MASK] in the text"),
        ("masked-lm", "/fill", {"text": "z[MASK]"}, "the model's vocabulary does not know 'z'"),
        ("causal-lm", "/generate", {"text": "a", "max_tokens": 10**6}, "max_tokens must be a whole number from 1 to"),
        ("causal-lm", "/generate", {"text": "a", "top_p": 2}, "top_p must be above 0 and at most 1, got 2"),
    ],
    ids=range(9),
)
def test_what_is_wrong_in_a_request_is_told(
    seed: int, type: str, path: str, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(AttentioError) as caught:
        asked(untrained(type=type), path, **fields)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("type", "text", "button"),
    [("encoder-decoder", "abc", "Translate"), ("masked-lm", "a[MASK]", "Fill"), ("causal-lm", "ab", "Go on")],
)
def test_every_kind_of_model_has_its_live_page(seed: int, type: str, text: str, button: str) -> None:
    run = untrained(type=type)
    form = asked(run, "/", page=True, language="en")
    assert f"<button>{button}</button>" in form.body.decode()
    page: Reply = asked(run, "/look", page=True, text=text, language="ko")
    assert '<html lang="ko">' in page.body.decode()
    if type == "causal-lm":
        assert len(run.inspect(text, max_tokens=GOES_ON).tokens) <= 3 + GOES_ON


def test_without_a_page_the_front_says_what_can_be_asked(seed: int) -> None:
    run = untrained(type="causal-lm")
    assert asked(run, "/") == {"run": "untrained", "model": "causal-lm", "post": ["/generate"]}
    assert "/look" not in routes(run, page=False)


def test_names_of_runs_are_shown_and_not_run(seed: int) -> None:
    run = untrained()
    run.path = Path("<script>alert(1)</script>")
    assert "<script>alert" not in asked(run, "/", page=True).body.decode()
