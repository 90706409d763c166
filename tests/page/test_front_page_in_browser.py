"""The front page of a served run in a real Chromium, before a real server process."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SHOWN = "iframe:not(.coming)"


@pytest.fixture(scope="module")
def address(browser: Any, toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a served run that reverses words."""
    command = [sys.executable, "-m", "attentio", "serve", str(toy.run), "--page", "--port", "0"]
    log = tmp_path_factory.mktemp("served") / "log"
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


def shows(page: Any, text: str) -> Any:
    """The page in the frame, once it is about this text."""
    result = page.frame_locator(SHOWN)
    result.locator("#title").filter(has_text=f"{text} → ").wait_for()
    page.locator("#status").filter(has_text="The result is below.").wait_for()
    return result


def test_an_example_is_shown_at_once_and_each_text_as_it_is_typed_at_the_same_view(tab: Callable[..., Any]) -> None:
    page = tab()
    examples = page.locator("#examples button").all_inner_texts()
    assert len(examples) == 4
    shows(page, examples[0])
    page.locator("#text:focus").wait_for()
    page.keyboard.type("abcd")  # what stood there was selected
    result = shows(page, "abcd")
    assert page.locator("iframe").count() == 1
    result.get_by_role("tab", name="Source and output").click()
    result.get_by_role("combobox", name="Colour scale").select_option("linear")
    asked, let_go, held = [], [], []
    page.on("request", lambda each: each.url.endswith("/look") and asked.append(each.post_data_json["text"]))
    page.on("requestfailed", lambda each: let_go.append(each.post_data_json["text"]))
    page.route("**/look", lambda route: route.continue_() if held else held.append(route))  # the first waits for ever
    with page.expect_request("**/look"):
        page.locator("#text").fill("aaa")
    page.evaluate(
        "for (const text of ['h', 'hg', 'hgf']) {"
        " document.getElementById('text').value = text;"
        " document.getElementById('text').dispatchEvent(new Event('input')); }"
    )
    result = shows(page, "hgf")
    assert (asked, let_go) == (["aaa", "hgf"], ["aaa"])
    assert result.get_by_role("tab", name="Source and output").get_attribute("aria-selected") == "true"
    assert result.get_by_role("combobox", name="Colour scale").input_value() == "linear"
    page.locator("#examples button").nth(2).click()
    shows(page, examples[2])
    assert page.locator("#text").input_value() == examples[2]
    inside, outside = page.locator(SHOWN).evaluate(
        "each => [each.contentDocument.body.offsetHeight, each.offsetHeight]"
    )
    assert outside >= inside, "the page scrolls, not the frame"


def test_a_token_is_erased_hidden_and_replaced_by_keyboard_alone(tab: Callable[..., Any]) -> None:
    page = tab(expected="400 (Bad Request)")
    page.locator("#text").fill("abcd")
    shows(page, "abcd")
    page.locator("#tokens button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    outcome, said = page.locator("#outcome"), page.locator("#changed")
    outcome.wait_for()
    assert page.locator("#tokens button[aria-pressed=true]").all_inner_texts() == ["b"]
    before = outcome.locator("ol").first
    assert "".join(before.locator("bdi").all_inner_texts()) == "dcba</s>"
    assert said.inner_text().startswith(("The output stays the same.", "The output changes: “"))
    page.get_by_label("replace by").check()
    said.filter(has_text="Write what stands there instead of").wait_for()
    page.get_by_label("What stands there instead").fill("f")
    said.filter(has_text="The output changes: “\u2068dcba\u2069” → “\u2068dcfa\u2069”").wait_for()
    assert outcome.locator(".gone bdi").all_inner_texts() == ["b"]
    assert outcome.locator(".new bdi").all_inner_texts() == ["f"]
    with page.expect_response("**/change") as answered:
        page.get_by_label("hide").check()
    assert answered.value.request.post_data_json["how"] == "hide"
    hidden = answered.value.json()["after"]["text"]
    changes = f"→ “\u2068{hidden}\u2069”" if hidden != "dcba" else "The output stays the same."
    said.filter(has_text=changes).wait_for()
    page.locator("#tokens button[aria-pressed=true]").press("Escape")
    outcome.wait_for(state="hidden")
    page.locator("#tokens button").last.click()
    page.locator("#unchanged").filter(has_text="is none of the text: only erase it").wait_for()


def test_what_is_typed_is_shown_and_never_run_and_what_cannot_be_done_is_told_in_a_line(
    tab: Callable[..., Any],
) -> None:
    page = tab(expected="400 (Bad Request)")
    typed = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page.on("dialog", lambda dialog: pytest.fail(f"the page ran what was typed: {dialog.message}"))
    page.locator("#text").fill(typed)
    shows(page, typed)
    page.locator("#tokens button").nth(1).click()
    page.locator("#outcome").wait_for()
    page.locator("#text").fill("a<s>")
    page.locator("#failed").filter(has_text="holds the reserved symbol <s>").wait_for()
    assert page.locator(SHOWN).count() == 1, "the last result stays"
    page.locator("#text").fill("abc")
    shows(page, "abc")
    assert page.locator("#failed").inner_text() == ""


def test_on_paper_it_is_light(tab: Callable[..., Any]) -> None:
    page = tab(color_scheme="dark")
    for event, theme in (("beforeprint", "light"), ("afterprint", "dark")):
        page.evaluate(f"dispatchEvent(new Event('{event}'))")
        assert page.locator("html").get_attribute("data-theme") == theme


def test_it_is_korean_and_dark_for_those_who_want_it_and_fits_a_phone(tab: Callable[..., Any]) -> None:
    page = tab(locale="ko-KR", color_scheme="dark", viewport={"width": 390, "height": 844})
    assert page.locator("html").get_attribute("lang") == "ko"
    page.get_by_label("글").fill("abc")
    page.get_by_role("button", name="번역").click()
    page.locator("#status").filter(has_text="결과가 아래에 있습니다.").wait_for()
    page.locator("#tokens button").first.click()
    page.locator("#outcome").wait_for()
    inside = page.frame_locator(SHOWN).locator("html")
    assert [inside.get_attribute(name) for name in ("lang", "data-theme")] == ["ko", "dark"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("언어").select_option("en")
    page.get_by_role("button", name="Light or dark").click()
    page.frame_locator(SHOWN).locator('html[lang="en"][data-theme="light"]').wait_for(state="attached")
    assert page.get_by_role("button", name="Translate").is_visible()
    assert not page.frame_locator(SHOWN).get_by_label("Language").is_visible()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # Its own script gets past the page's policy because playwright evaluates it.
    found = axe.Axe().run(page, options={"iframes": False}).response["violations"]
    assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in found]


def test_another_page_cannot_ask_or_frame_the_server(browser: Any, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(
        body=f'<iframe src="{address}"></iframe><form method="post" action="{address}/look"><input name="text"></form>',
        content_type="text/html"))  # fmt: skip
    page.goto("http://evil.example/")
    assert [frame.url for frame in page.frames][1:] == ["chrome-error://chromewebdata/"]
    with page.expect_response(lambda reply: reply.url.endswith("/look")) as reply:
        page.evaluate("document.forms[0].submit()")
    assert reply.value.status == 403
    context.close()
