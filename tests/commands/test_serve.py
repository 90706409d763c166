"""attentio serve: a real process on a real port, asked over HTTP, and ended."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asked import asked
from untrained_runs import untrained

import attentio as at
from attentio.runs import causal
from attentio.runs.translator import Run
from attentio.serving.front import LONGEST_SHOWN
from attentio.serving.log import JsonLines


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
        front = reply.read().decode()
    assert '<html lang="ko">' in front
    tried = json.loads((toy.run / "data.json").read_text())["examples"]
    assert len(tried) == 4
    assert json.dumps(tried) in front
    shown = post(f"{url}/look", {"text": "abcd"})
    assert shown["page"].startswith("<!DOCTYPE html>")
    assert shown["tokens"] == [*"abcd", "</s>"]

    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=60)
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


def test_other_machines_are_let_in_only_under_a_name(toy, attentio: Callable) -> None:
    said = attentio("serve", toy.run, "--host", "0.0.0.0", "--port", "0")
    assert said.code == 2
    assert said.err.startswith("attentio: --host 0.0.0.0 lets other machines in; say with --allow-host NAME what they")
    command = [sys.executable, "-m", "attentio", "serve", str(toy.run), "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen([*command, "--allow-host", "box.example"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(":")[-1].split()[0]
        assert server.stdout.readline() == "Everybody who reaches this machine over the network can use it.\n"
        for name, status in {"box.example": 200, "localhost": 200, "evil.example": 421}.items():
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
            connection.request("GET", "/health", headers={"Host": f"{name}:{port}"})
            assert connection.getresponse().status == status
            connection.close()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0


def test_translations_come_with_alternatives_and_attention_on_request(seed: int) -> None:
    answer = asked(untrained(), "/translate", text="abc", n_best=2, beam=3, attention=True).json
    first, second = answer["translations"]
    assert first["score"] >= second["score"]
    assert len(first["attention"]) == len(first["tokens"])
    assert {len(row) for row in first["attention"]} == {4}
    assert set(first) == {"text", "tokens", "source_tokens", "score", "finished", "attention"}


def test_text_that_the_model_does_not_know_comes_back_with_the_answer(seed: int) -> None:
    assert asked(untrained(), "/translate", text="abc").json["unknown"] == []
    unknown = asked(untrained(), "/translate", text="abC").json["unknown"]
    assert unknown == [{"text": "C", "place": 3, "known": "c"}]
    page = asked(untrained(), "/look", page=True, text="abC").json["page"]
    assert "the model does not know it" in page


def test_a_masked_model_fills_and_a_causal_one_goes_on(seed: int) -> None:
    run = untrained(type="masked-lm")
    (hole,) = asked(run, "/fill", text="ab[MASK]", top=2).json["holes"]
    assert hole == [vars(candidate) for candidate in run.fill("ab[MASK]", top=2)[0]]
    run = untrained(type="causal-lm")
    drawn = {"text": "ab", "samples": 2, "max_tokens": 5, "seed": 7, "temperature": 0.5, "top_k": 3}
    answer = asked(run, "/generate", **drawn).json
    assert [one["text"][:2] for one in answer["samples"]] == ["ab", "ab"]
    assert answer == asked(run, "/generate", **drawn).json
    assert len(asked(run, "/generate", max_tokens=1).json["samples"][0]["tokens"]) == 1, "no text begins a text"


@pytest.mark.parametrize(
    ("type", "path", "fields", "told"),
    [
        ("encoder-decoder", "/translate", {}, "text must be a text, got nothing"),
        ("encoder-decoder", "/translate", {"text": " "}, "text: empty"),
        ("encoder-decoder", "/translate", {"text": "a\ud800"}, "half of a surrogate pair"),
        ("encoder-decoder", "/translate", {"text": "a", "n_best": 4, "beam": 3}, "n_best must be at most the beam"),
        ("encoder-decoder", "/translate", {"text": "a", "beams": 3}, "; did you mean 'beam'?"),
        ("masked-lm", "/fill", {"text": "ab"}, "no [MASK] in the text"),
        ("masked-lm", "/fill", {"text": "z[MASK]"}, "the model's vocabulary does not know 'z'"),
        ("causal-lm", "/generate", {"text": "a", "max_tokens": 10**6}, "max_tokens must be a whole number from 1 to"),
        ("causal-lm", "/generate", {"text": "a", "top_p": 2}, "top_p must be above 0 and at most 1, got 2"),
        ("encoder-decoder", "/change", {"text": "a", "how": "hide"}, "place must be a whole number from 0 to 4000"),
        ("encoder-decoder", "/change", {"text": "a", "place": -1, "how": "hide"}, "place must be a whole number from"),
        ("encoder-decoder", "/change", {"text": "a", "place": 2, "how": "hide"}, "as 2 tokens are read; got 2"),
        (
            "encoder-decoder",
            "/change",
            {"text": "a", "place": 0, "how": "erase", "token": "b"},
            "token is what stands there with how replace; leave it out with erase",
        ),
        ("encoder-decoder", "/change", {"text": "a", "place": 0, "how": "mask"}, "must be one of erase, hide, replace"),
        ("encoder-decoder", "/change", {"text": "a", "place": 0, "how": "replace"}, "token: empty"),
        ("encoder-decoder", "/change", {"text": "a", "place": 1, "how": "hide"}, "is none of the text: only erase it"),
        ("masked-lm", "/change", {"text": "ab", "place": 1, "how": "erase"}, "no [MASK] in the text"),
        ("causal-lm", "/change", {"text": "ab", "place": 1, "how": "replace", "token": "z"}, "does not know 'z'"),
    ],
    ids=range(18),
)
def test_what_is_wrong_in_a_request_is_told(
    seed: int, type: str, path: str, fields: dict[str, object], told: str
) -> None:
    answer = asked(untrained(type=type), path, **fields)
    assert answer.status == 400
    assert told in answer.json["error"]


TEXTS = {"encoder-decoder": "abc", "masked-lm": "ab[MASK]", "causal-lm": "ab", "labeller": "ab c"}
READ = {
    "encoder-decoder": ["a", "b", "c", "</s>"],
    "masked-lm": ["<s>", "a", "b", "<mask>", "</s>"],
    "causal-lm": ["<s>", "a", "b"],
    "labeller": ["<s>", "a", "b", " ", "c", "</s>"],
}


@pytest.mark.parametrize("type", TEXTS)
def test_every_kind_of_model_has_its_front_page_and_the_page_of_a_text(seed: int, type: str) -> None:
    run, text = untrained(type=type), TEXTS[type]
    front = asked(run, "/", page=True, language="en").body.decode()
    assert f'"kind": "{type}"' in front
    shown = asked(run, "/look", page=True, text=text).json
    assert set(shown) == {"page", "tokens"}
    assert shown["tokens"] == READ[type]
    if type == "causal-lm":
        assert len(causal.live(run, text, lambda: None).tokens) <= 3 + causal.LIVE_TOKENS


@pytest.mark.parametrize("type", TEXTS)
def test_a_change_is_what_the_run_makes_of_it(seed: int, type: str) -> None:
    run, fields = untrained(type=type), {"text": TEXTS[type], "place": 1, "how": "replace", "token": "h"}
    answer = asked(run, "/change", **fields).json
    assert answer.pop("text") == TEXTS[type]
    assert answer["read"] == READ[type]
    expected = run.change(TEXTS[type], at.Change(1, "replace", "h"))
    assert answer["read_after"] == expected.read_after
    assert answer["read_after"][1] == "h"
    assert answer["after"]["text"] == expected.after.text
    assert answer["still"] == pytest.approx(expected.still, abs=1e-4)


def test_without_a_page_the_front_says_what_can_be_asked(seed: int) -> None:
    run = untrained(type="causal-lm")
    assert asked(run, "/").json == {
        "run": "untrained",
        "model": "causal-lm",
        "post": ["/generate", "/change"],
    }
    assert asked(run, "/look", text="ab").status == 404


def test_names_of_runs_are_shown_and_not_run(seed: int) -> None:
    run = untrained()
    run.path = Path("<script>alert(1)</script>")
    assert "<script>alert" not in asked(run, "/", page=True).body.decode()


@pytest.mark.parametrize(
    ("type", "path", "fields"),
    [
        ("encoder-decoder", "/translate", {"text": "a" * 4000, "beam": 50}),
        ("encoder-decoder", "/translate", {"text": "a" * 200, "beam": 50, "n_best": 50, "attention": True}),
        ("encoder-decoder", "/look", {"text": "a" * 1000}),
        ("masked-lm", "/fill", {"text": "[MASK]" * 600, "top": 100}),
        ("causal-lm", "/generate", {"text": "a" * 500, "samples": 16, "max_tokens": 1000}),
        ("causal-lm", "/change", {"text": "a" * 500, "place": 1, "how": "erase"}),
        ("encoder-decoder", "/change", {"text": "a" * 1000, "place": 1, "how": "erase"}),
    ],
    ids=range(7),
)
def test_too_much_work_is_refused(seed: int, type: str, path: str, fields: dict[str, object]) -> None:
    run = untrained(type=type)
    run.config = replace(run.config, decoding=replace(run.config.decoding, beam=15))
    answer = asked(run, path, page=True, **fields)
    assert answer.status == 422
    assert "the limit is 20,000: shorten the text or ask for fewer" in answer.body.decode()


@pytest.mark.parametrize("type", ["encoder-decoder", "masked-lm", "causal-lm"])
def test_a_language_that_there_is_not_is_refused(seed: int, type: str) -> None:
    run = untrained(type=type)
    answer = asked(run, "/", page=True, language='en" onload=x')
    assert answer.status == 400
    assert answer.error.startswith("language must be en or ko")


def test_a_text_too_long_for_the_page_is_told_there(seed: int) -> None:
    answer = asked(untrained(), "/look", page=True, text="a" * (LONGEST_SHOWN + 1))
    assert answer.status == 400
    assert (
        answer.error == f"text has {LONGEST_SHOWN + 1} characters, more than the limit of {LONGEST_SHOWN} on the page"
    )


ASKED = {
    "encoder-decoder": ("/translate", {"text": "abC", "attention": True}),
    "masked-lm": ("/fill", {"text": "ab[MASK]"}),
    "causal-lm": ("/generate", {"text": "ab", "max_tokens": 3}),
}


@pytest.mark.parametrize("type", ASKED)
@pytest.mark.parametrize("changing", [False, True])
def test_openapi_describes_what_can_be_asked_and_what_is_answered(seed: int, type: str, changing: bool) -> None:
    run, (path, fields) = untrained(type=type), ASKED[type]
    if changing:
        path, fields = "/change", {"text": fields["text"], "place": 1, "how": "erase"}
    document = asked(run, "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    post = document["paths"][path]["post"]
    taken = post["requestBody"]["content"]["application/json"]["schema"]
    assert set(fields) <= set(taken["properties"])
    needed = ["text", "place", "how"] if changing else [] if type == "causal-lm" else ["text"]
    assert taken.get("required", []) == needed
    unknown = asked(run, path, **fields, nonsense=1).json["error"]
    assert f"known are {', '.join(taken['properties'])}" in unknown
    for name, schema in taken["properties"].items():
        if "maximum" in schema:
            assert f"{name} must be" in asked(run, path, **{**fields, name: schema["maximum"] + 1}).json["error"]
    check(asked(run, path, **fields).json, post["responses"]["200"]["content"]["application/json"]["schema"])


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any]) -> None:
    """The value is as the schema says, and the schema names all that it holds."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert isinstance(value, tuple(TYPES[each] for each in types)), (value, schema)
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value) <= set(schema["properties"])
        for name, each in value.items():
            check(each, schema["properties"][name])
    if isinstance(value, list):
        assert value, "an empty list checks nothing"
        for each in value:
            check(each, schema["items"])


def test_what_the_server_fails_at_is_in_the_log_without_its_words(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    run = untrained()

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("quotes a text")

    run.model.step = fail
    answer = asked(run, "/translate", text="abc")
    assert (answer.status, answer.json) == (500, {"error": "the server failed at this; its log says more"})
    (failed,) = (json.loads(JsonLines().format(record)) for record in caplog.records if record.exc_info)
    assert (failed["event"], failed["error"]) == ("failed", "RuntimeError")
    assert failed["at"][-1].startswith("test_serve.py:")
    assert "quotes" not in json.dumps(failed)
