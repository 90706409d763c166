"""The live page in a real Chromium, before a real server process: a sentence is typed, and its attention looked at."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task

from attentio.commands.main import main


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a served run that has learnt next to nothing."""
    folder = tmp_path_factory.mktemp("served")
    options = OPTIONS | write_task(folder, reverse, seed=1) | {"training.max_steps": 2, "model.hidden": 16}
    assert main(["train", "luong", "--run", str(folder / "run"), *as_arguments(options)]) == 0
    command = [sys.executable, "-m", "attentio", "serve", str(folder / "run"), "--page", "--port", "0"]
    log = folder / "log"
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            assert " at http://" in said, log.read_text()
            yield said.split(" at ")[1].split()[0]
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            server.kill()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """A tab of its own that asks for nothing but this server and complains of nothing but what `expected` says."""
    contexts, complaints = [], []

    def opened(expected: str = "nothing", **options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        context.set_default_timeout(60_000)
        tab = context.new_page()
        tab.on("request", lambda each: each.url.startswith((address, "data:", "blob:")) or complaints.append(each.url))
        tab.on("console", lambda each: expected in each.text or complaints.append(each.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def test_a_sentence_is_typed_and_its_attention_seen_by_keyboard_alone(tab: Callable[..., Any]) -> None:
    page = tab()
    page.locator("#text:focus").wait_for()  # the focus comes with the first frame, which may be later than the load
    page.keyboard.type("abc")
    page.keyboard.press("Enter")
    result = page.frame_locator("iframe")
    result.locator("#title").filter(has_text="abc → ").wait_for()
    page.get_by_role("status").filter(has_text="The result is below.").wait_for()
    assert page.get_by_role("button", name="Translate").is_enabled()
    assert result.get_by_role("tab").count() > 1
    page.keyboard.type("d")
    page.keyboard.press("Enter")
    result.locator("#title").filter(has_text="abcd → ").wait_for()


def test_what_is_typed_is_shown_and_never_run(tab: Callable[..., Any]) -> None:
    page = tab()
    typed = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page.on("dialog", lambda dialog: pytest.fail(f"the page ran what was typed: {dialog.message}"))
    page.get_by_label("Text").fill(typed)
    page.get_by_role("button", name="Translate").click()
    page.frame_locator("iframe").locator("#title").filter(has_text=typed).wait_for()


def test_what_cannot_be_done_is_told_where_the_result_would_be(tab: Callable[..., Any]) -> None:
    page = tab(expected="400 (Bad Request)")
    page.get_by_label("Text").fill("a<s>")
    page.keyboard.press("Enter")
    alert = page.frame_locator("iframe").get_by_role("alert")
    alert.wait_for()
    assert "holds the reserved symbol <s>" in alert.inner_text()
    assert page.get_by_role("button", name="Translate").is_enabled()


def test_korean_readers_get_korean_and_can_change_it(tab: Callable[..., Any], tmp_path: Path) -> None:
    page = tab(locale="ko-KR", color_scheme="dark")
    assert page.locator("html").get_attribute("lang") == "ko"
    page.get_by_label("글").fill("abc")
    page.get_by_role("button", name="번역").click()
    page.get_by_role("status").filter(has_text="결과가 아래에 있습니다.").wait_for()
    assert page.frame_locator("iframe").locator("html").get_attribute("lang") == "ko"
    page.get_by_role("link", name="English").click()
    assert page.get_by_role("button", name="Translate").is_visible()


def test_it_works_without_scripts_in_the_form(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-US")
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Text").fill("abc")
    page.get_by_role("button", name="Translate").click()
    page.frame_locator("iframe").locator("noscript").wait_for(state="attached", timeout=60_000)
    context.close()


def test_another_page_cannot_ask_or_frame_the_server(browser: Any, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(
        body=f'<form method="post" action="{address}/look"><input name="text" value="abc"></form>',
        content_type="text/html"))  # fmt: skip
    page.goto("http://evil.example/")
    with page.expect_response(lambda reply: reply.url.endswith("/look")) as reply:
        page.evaluate("document.forms[0].submit()")
    assert reply.value.status == 403
    context.close()
