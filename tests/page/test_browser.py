"""The live page in a real browser, while a run goes on."""

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import polars as pl
import pytest
from background_runs import Fed, until
from playwright.sync_api import Page, expect

from arrowstream import ErrorHandler, Pipeline, Sender, Sink, Source, channel
from arrowstream.page.answers import Answers
from arrowstream.page.files import asset

pytestmark = [pytest.mark.once, pytest.mark.untraced]

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>"

SHOTS = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))


AWAY_AT_THE_END = """
    const ask = window.fetch;
    let over = false;
    let missed = 0;
    window.fetch = async (...what) => {
      if (over) {
        document.documentElement.dataset.missed = missed += 1;
        throw new Error("away");
      }
      const answer = await ask(...what);
      over = (await answer.clone().text()).includes('"state":"done"');
      return answer;
    };
"""
"""After the answer that the run has ended nothing answers any more, without a word on the browser's console."""

expect.set_options(timeout=60_000)


def aside(function: Callable[..., object], *arguments: object) -> None:
    """Call what blocks on another thread: on this one the loop of playwright runs."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(function, *arguments).result()


def shot(page: Page, name: str) -> None:
    """Keep a picture of the page for those who look at it."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def test_a_run_is_seen_from_its_beginning_to_the_stop_of_the_page(page: Page) -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served:
        page.goto(served.url)
        expect(page.get_by_role("status")).to_have_text("ready")
        expect(page.locator("svg [data-stage=filter]")).to_be_visible()
        with fed.pipeline.start() as running:
            aside(fed.send, 1, 2, 4)
            row = page.get_by_role("row").filter(has=page.get_by_role("button", name="filter", exact=True))
            expect(page.get_by_role("status")).to_have_text("running")
            expect(row).to_contain_text("3")
            aside(fed.send, *range(100, 200))
            expect(row).to_contain_text("103")  # rows in
            expect(row).to_contain_text("52")  # rows out
            page.get_by_role("row").get_by_role("button", name="filter", exact=True).click()
            detail = page.get_by_role("region", name="details of a stage")
            expect(detail).to_contain_text("filter(x % 2 == 0)")
            expect(detail).to_contain_text("no rows have passed since")
            aside(fed.send, 7, 8, 10, 12)
            last = detail.get_by_role("table").first
            expect(last).to_contain_text("12")
            assert last.inner_text().split() == ["x", "8", "10", "12"]
            shot(page, "live-page")
            page.get_by_role("button", name="Stop").click()
            report = running.wait(60)
        assert report.stopped == "stop" and report.rows_in == 107
        expect(page.get_by_role("status")).to_have_text("done")
        expect(page.get_by_role("button", name="Stop")).to_be_disabled()
        expect(detail.get_by_role("table").first).to_contain_text("12")


def test_the_end_is_seen_although_the_server_ends_with_the_run(page: Page) -> None:
    fed = Fed()
    page.add_init_script(AWAY_AT_THE_END)
    served = fed.pipeline.serve(port=0)
    with fed.pipeline.start():
        page.goto(served.url)
        expect(page.get_by_role("status")).to_have_text("running")
    aside(served.close)
    expect(page.locator("html")).to_have_attribute("data-missed", re.compile(r"^[2-9]|^\d\d"))
    expect(page.get_by_role("status")).to_have_text("done")


def test_a_server_that_goes_during_a_run_is_missed(page: Page) -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        page.goto(served.url)
        expect(page.get_by_role("status")).to_have_text("running")
        page.evaluate("() => { window.fetch = async () => { throw new Error('away'); }; }")
        expect(page.get_by_role("status")).to_have_text("no answer")
        expect(
            page.get_by_text("The program has ended, or cannot be reached (away). The figures are those of")
        ).to_be_visible()
        expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_all_figures_of_the_stages_are_in_sight_and_numbers_are_aligned(page: Page) -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        page.goto(served.url)
        page.get_by_role("row").get_by_role("button", name="filter", exact=True).click()
        detail = page.get_by_role("region", name="details of a stage")
        expect(detail).to_contain_text("no rows have passed since")
        aside(fed.send, 2, 400)
        expect(detail.get_by_role("cell", name="400")).to_have_class("as-number")
        last = page.get_by_role("columnheader", name="errors").bounding_box()
        assert last is not None and last["x"] + last["width"] <= 1300


def test_a_stage_is_chosen_by_keyboard_and_has_a_name(page: Page) -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        page.goto(served.url)
        node = page.get_by_role("button", name="step filter: filter(x % 2 == 0)")
        node.focus()
        page.keyboard.press("Enter")
        detail = page.get_by_role("region", name="details of a stage")
        expect(detail.get_by_role("heading")).to_have_text("filter")
        expect(detail).to_be_focused()
        expect(node).to_have_attribute("aria-pressed", "true")
        summary = detail.get_by_text("columns", exact=True)
        summary.focus()
        aside(fed.send, 2)
        expect(page.get_by_role("row").filter(has_text="sink")).to_contain_text("1")
        expect(summary).to_be_focused()  # figures that change leave the focus where it is
        names = page.evaluate("[...document.querySelectorAll('button')].map((each) => each.textContent)")
        assert all(names) and {"Stop", "source", "filter", "sink"} <= set(names)
        assert page.locator("html").get_attribute("lang") == "en"


def test_markup_in_names_values_and_errors_is_text(page: Page) -> None:
    frame = pl.DataFrame({HOSTILE: [HOSTILE, "b"]})
    tx: Sender[pl.DataFrame]
    tx, rx = channel(capacity=8)
    source = Source.from_channel(rx, schema=frame.schema)

    def refuse(batch: pl.DataFrame) -> pl.DataFrame:
        if batch[HOSTILE].to_list() == ["fail"]:
            raise ValueError(HOSTILE)
        return batch

    builder = Pipeline.builder(HOSTILE).source(source).map(refuse, frame="polars").named("check")
    pipeline = builder.on_error(ErrorHandler.skip()).sink(Sink.to_fn(len)).build()
    with pipeline.serve(port=0) as served, pipeline.start():
        page.goto(served.url)
        aside(tx.send_sync, frame)
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        page.get_by_role("row").get_by_role("button", name="check", exact=True).click()
        detail = page.get_by_role("region", name="details of a stage")
        expect(detail.get_by_role("columnheader", name=HOSTILE)).to_have_count(0)
        expect(detail).to_contain_text("no rows have passed since")
        aside(tx.send_sync, frame)
        expect(detail.get_by_role("cell", name=HOSTILE).first).to_be_visible()
        aside(tx.send_sync, pl.DataFrame({HOSTILE: ["fail"]}))
        expect(detail.locator("pre.as-error")).to_contain_text(HOSTILE)
        assert page.evaluate("document.querySelectorAll('img, main script, iframe').length") == 0
        shot(page, "live-page-markup")


MODEL = """
window.asked = [];
const model = {
  get: () => (FIRST),
  on: (name, act) => { window.tell = act; },
  off: () => {},
  send: (message) => { window.asked.push(message); },
};
render({ model, el: document.body });
"""


NOTE_STATUS = """() => {
  window.said = [];
  const status = document.querySelector("[role=status]");
  new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
}"""


def test_in_a_notebook_figures_go_on_while_the_kernel_cannot_answer(page: Page) -> None:
    """A cell that waits for the run keeps the kernel from answers about rows; figures are sent all the same."""
    fed = Fed()
    with fed.start() as running:
        aside(fed.send, 1, 2)
        aside(until, lambda: running.metrics().rows_in == 2)
        answers = Answers(running)
        first = {"state": answers.state(), "graph": answers.graph(), "history": answers.history()}
        first = json.loads(msgspec.json.encode(first))
    script = asset("page.js") + asset("widget.js") + MODEL.replace("FIRST", json.dumps(first))
    page.set_content(f"<body></body><script type=module>{script}</script>")
    page.get_by_role("row").get_by_role("button", name="filter", exact=True).click()
    page.wait_for_function("asked.some((each) => each.what === 'tail')")
    figures = page.locator(".as-figures")
    tell = "(rows) => tell({ state: { ...STATE, rows_in: rows } })".replace(
        "STATE", json.dumps(first["state"])
    )
    page.evaluate(tell, 4_242)
    expect(figures).to_contain_text("4,242")
    page.wait_for_function("asked.some((each) => each.what === 'state')")  # nothing was sent for some seconds
    page.evaluate(tell, 5_353)
    expect(figures).to_contain_text("5,353")
    page.evaluate(NOTE_STATUS)  # the next figures replace what it says, perhaps at once
    page.evaluate("tell({ number: asked.find((each) => each.what === 'tail').number, error: 'it is gone' })")
    page.wait_for_function("said.includes('no answer')")
    expect(page.get_by_role("status")).to_have_text("running")


@pytest.mark.thorough
def test_pictures_in_the_dark_and_on_a_telephone(page: Page) -> None:
    fed = Fed()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 900})
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        aside(fed.send, *range(50))
        page.goto(served.url)
        row = page.get_by_role("row").filter(has_text="sink")
        expect(row).to_contain_text("25")
        wide = json.loads(page.evaluate("JSON.stringify([document.body.scrollWidth, innerWidth])"))
        assert wide[0] <= wide[1]  # tables scroll, not the page
        shot(page, "live-page-narrow-dark")
