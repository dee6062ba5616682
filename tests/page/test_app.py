"""The page in a real browser: every control, the keyboard alone, languages, narrow screens, accessibility, two tabs."""

import base64
import json
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from src.modalities.pictures import read_provenance
from src.runs import review

Visit = Callable[..., Page]
GAN, VAE, FLOW, TEXT = "results/mlp_gan", "results/families/vae-mnist/0", "results/digits/0", "results/text/0"
CAPTIONS = "results/captions/0"


def pictures(page: Page) -> list[str]:
    return page.locator(".sides img").evaluate_all("images => images.map(image => image.src)")


def changed(page: Page, before: list[str], look: Callable[[Page], list[str]] = pictures) -> list[str]:
    """What the page shows when it is no longer `before`."""
    for _ in range(240):
        if (now := look(page)) and now != before:
            return now
        page.wait_for_timeout(100)
    raise AssertionError("nothing changed")


def wait(page: Page, condition: str) -> None:
    """Playwright's own `wait_for_function` needs eval, which the page's security policy forbids."""
    for _ in range(240):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def slide(page: Page, name: str, position: int) -> None:
    page.locator(f"#control-{name}").fill(str(position))


def test_what_a_newcomer_sees_and_presses(visit: Visit) -> None:
    page = visit("")
    first = pictures(page)
    assert len(first) == 16
    page.get_by_role("button", name="Draw new pictures").click()
    assert len(changed(page, first)) == 16


def test_controls_of_a_gan(visit: Visit) -> None:
    page = visit(GAN)
    drawn = pictures(page)
    slide(page, "truncation", 4)
    drawn = changed(page, original := drawn)
    slide(page, "n", 3)
    assert changed(page, drawn) == drawn[:4]  # positions count from the least
    slide(page, "truncation", 25)  # off
    assert changed(page, drawn[:4]) == original[:4]
    page.locator("#control-seed").fill("2")
    assert changed(page, original[:4])[:2] == original[2:4]
    for absent in ("class", "guidance", "nfe", "solver", "temperature"):
        expect(page.locator(f"#control-{absent}")).to_have_count(0)
    expect(page.locator("#tab-reconstruct")).to_have_count(0)


def test_controls_of_a_flow(visit: Visit) -> None:
    page = visit(FLOW)
    drawn = pictures(page)
    page.get_by_label("Class").select_option("3")
    drawn = changed(page, drawn)
    slide(page, "guidance", 12)
    drawn = changed(page, drawn)
    slide(page, "nfe", 2)
    drawn = changed(page, drawn)
    page.get_by_label("Solver").select_option("euler")
    changed(page, drawn)
    expect(page.locator("#control-truncation")).to_have_count(0)


def test_sliders_move_the_same_samples_along_directions(visit: Visit) -> None:
    page = visit(GAN, "directions")
    first, command = changed(page, []), page.locator(".command code")
    assert len(first) == 4
    middle, settled = "12", "!document.querySelector('.busy')"
    slide(page, "directions-0", 20)
    expect(page.get_by_label("Closed-form 1")).to_have_attribute("aria-valuetext", "2")
    moved = changed(page, first)
    expect(command).to_have_text(f"python -m src.generate run={GAN} 'directions={{sefa-1: 2}}' n=4 seed=0")
    for position in ("24", "3", "9", middle):  # quicker than they are drawn: the last one counts
        page.locator("#control-directions-0").fill(position)
    expect(page.locator("#panel")).to_have_class("busy")
    wait(page, settled)
    assert pictures(page) == first
    expect(command).to_have_text(f"python -m src.generate run={GAN} n=4 seed=0")
    slide(page, "directions-0", 20)
    assert changed(page, first) == moved
    page.get_by_role("button", name="All to 0").click()
    assert changed(page, moved) == first
    expect(page.locator("#control-directions-0")).to_have_value(middle)


def test_a_prompt_says_what_the_pictures_show(visit: Visit) -> None:
    page = visit(CAPTIONS)
    prompt, status = page.get_by_label("What the pictures show"), page.locator("#status")
    expect(prompt).to_have_value("a red")  # of a red apple, the words of these captions
    expect(page.locator("#control-prompt-hint")).to_contain_text("such as: red, blue, green, disc.")
    slide(page, "n", 1)
    drawn = changed(page, pictures(page))
    prompt.fill("Blue disc")
    prompt.blur()
    drawn = changed(page, drawn)
    slide(page, "guidance", 4)
    drawn = changed(page, drawn)
    words = f"python -m src.generate run={CAPTIONS} 'prompt=Blue disc' n=2 guidance=1 seed=0"
    expect(page.locator(".command code")).to_have_text(words)
    for wrong, message in (("blu disc", "captions: blu (did you mean blue?): say it in other words"), (" ", "it has no word")):
        prompt.fill(wrong)
        prompt.blur()
        expect(status).to_contain_text(message)
        expect(page.locator(".sides img")).to_have_count(0)  # nothing that other words drew
    prompt.fill("Blue disc")
    prompt.blur()
    assert changed(page, []) == drawn


def test_how_many_samples_a_filter_leaves_out_is_said(visit: Visit) -> None:
    page = visit(GAN)
    expect(page.locator(".filtered")).to_have_count(0)
    page.route("**/draw", lambda route: route.fulfill(json={**route.fetch().json(), "left_out": 3}))
    page.locator("#go").click()
    expect(page.locator(".filtered")).to_have_text("3 of 19 were left out by the filter.")
    page.unroute("**/draw")


def test_dragging_between_two_latents(visit: Visit) -> None:
    page = visit(GAN, "morph")
    page.locator("#slide").wait_for()
    first = pictures(page)
    seen = [first]
    for position in ("5", "15"):
        page.locator("#slide").fill(position)
        seen.append(changed(page, seen[-1]))
    page.locator("#slide").press("Home")
    assert changed(page, seen[-1]) == first
    page.get_by_role("button", name="New pairs").click()
    changed(page, first)


def test_a_drawn_digit_is_restored(visit: Visit) -> None:
    page = visit(VAE, "reconstruct")
    paper = page.get_by_label("Drawing area")
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 190, steps=4)
    page.mouse.up()
    drawn = changed(page, [])
    assert len(drawn) == 2
    page.get_by_label("Class").select_option("8")
    drawn = changed(page, drawn)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".sides img")).to_have_count(0)
    paper.focus()  # and by keyboard
    for key in ("ArrowLeft", " ", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", " "):
        page.keyboard.press(key)
    assert changed(page, []) != drawn


def test_the_training_film(visit: Visit) -> None:
    page = visit(GAN, "film")
    image = page.locator(".film img")
    expect(image).to_have_attribute("src", re.compile("/picture$"))  # who wants less motion starts it
    page.get_by_role("button", name="Play").click()
    expect(image).to_have_attribute("src", re.compile("/film$"))
    wait(page, "document.querySelector('.film img').naturalWidth > 100")
    page.get_by_role("button", name="Stop").click()
    expect(image).to_have_attribute("src", re.compile("/picture$"))


def test_measured_pairs_and_the_film_of_a_translation(visit: Visit) -> None:
    page = visit(GAN)
    page.locator("[data-run]", has_text="pix2pix").click()  # it translates nothing without the data
    page.locator("#tab-pairs").click()
    loaded = "document.querySelector('.film img').naturalWidth > 100"
    wait(page, loaded)
    expect(page.locator(".film img")).to_have_attribute("src", re.compile("/pairs$"))
    page.locator("#tab-film").click()
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".film img")).to_have_attribute("src", re.compile("/film$"))
    wait(page, loaded)


def test_two_runs_side_by_side_from_the_same_seeds(visit: Visit) -> None:
    page = visit(GAN)
    page.locator("#control-seed").fill("7")
    alone = changed(page, pictures(page))
    page.get_by_label("Compare with").select_option(VAE)
    both = changed(page, alone)
    assert both[:16] == alone
    other = visit(VAE)
    other.locator("#control-seed").fill("7")
    assert changed(other, pictures(other)) == both[16:]


def test_a_text_is_continued(visit: Visit) -> None:
    def texts(page: Page) -> list[str]:
        return page.locator(".sides pre").all_inner_texts()

    page = visit(TEXT)
    before = texts(page)
    prompt = page.get_by_label("Beginning")
    prompt.fill("the fox")
    prompt.blur()
    found = changed(page, before, texts)
    assert len(found) == 4
    assert all(text.startswith("the fox") for text in found)
    for name, position in (("temperature", 2), ("top_k", 0), ("top_p", 0)):
        slide(page, name, position)
        if name == "temperature":
            found = changed(page, found, texts)
    wait(page, "new Set([...document.querySelectorAll('.sides pre')].map(text => text.textContent)).size == 1")
    prompt.fill("Ünknown")
    prompt.blur()
    expect(page.locator("#status")).to_contain_text("the vocabulary of the data has no 'Ü'")


def archive(page: Page, button: Locator) -> zipfile.ZipFile:
    with page.expect_download() as waiting:
        button.click()
    return zipfile.ZipFile(BytesIO(Path(waiting.value.path()).read_bytes()))


def test_a_download_says_how_it_was_made(visit: Visit, tmp_path: Path) -> None:
    page = visit(GAN)
    slide(page, "truncation", 4)
    changed(page, pictures(page))
    found = archive(page, page.get_by_role("button", name="Download"))
    record = json.loads(found.read("samples.json"))
    assert record["provenance"].items() >= {"first_seed": 0, "truncation": 0.5, "checkpoint": "weights.safetensors"}.items()
    assert set(found.namelist()) == {"samples.json", *(f"{seed:06d}.png" for seed in range(16))}
    (tmp_path / "one.png").write_bytes(found.read("000003.png"))
    marks = read_provenance(tmp_path / "one.png")
    assert marks == {"Software": "AIGC Lab", "generated": "true", "model": record["model"], "seed": "3"}


def test_keeping_rejecting_and_exporting(visit: Visit, shipped: Path) -> None:
    page, folder = visit(VAE), shipped / VAE
    page.get_by_label("Class").select_option("3")
    changed(page, pictures(page))
    tiles = page.locator("[role=option]")
    tiles.nth(2).click()
    page.get_by_label("Note").fill("clear")
    page.get_by_role("button", name="Keep").click()
    expect(tiles.nth(2)).to_have_attribute("data-mark", "keep")
    tiles.nth(5).click()
    page.get_by_role("button", name="Reject").click()
    expect(tiles.nth(5)).to_have_attribute("data-mark", "reject")
    settings = {"seed": 2, "class": "3"}
    assert review.marks(folder) == [
        review.Mark(settings, "keep", "clear"),
        review.Mark({**settings, "seed": 5}, "reject", ""),
    ]
    shown = tiles.nth(2).locator("img").get_attribute("src")
    page.locator("#tab-kept").click()
    expect(page.locator("#counts")).to_have_text("1 kept, 1 rejected.")
    expect(page.locator("#kept img")).to_have_count(1)
    found = archive(page, page.get_by_role("button", name="Export"))
    assert found.namelist() == ["kept-1/000002.png", "kept-1/samples.json"]
    provenance = json.loads(found.read("kept-1/samples.json"))["provenance"]
    assert provenance.items() >= {"class": "3", "notes": {"2": "clear"}}.items()
    drawn = Image.open(BytesIO(base64.b64decode(shown.partition(",")[2])))
    assert Image.open(BytesIO(found.read("kept-1/000002.png"))).tobytes() == drawn.tobytes()

    page = visit(VAE)  # the marks are there after a reload
    page.get_by_label("Class").select_option("3")
    expect(page.locator("[role=option]").nth(2)).to_have_attribute("data-mark", "keep")


def test_real_or_generated(visit: Visit, shipped: Path) -> None:
    page, folder = visit(FLOW, "blind"), shipped / FLOW
    for number in range(1, 4):
        page.locator("[data-answer=real]:enabled").click()
        expect(page.locator("#score")).to_contain_text(f"of {number},")
    lines = [json.loads(line) for line in (folder / review.FILE).read_text().splitlines()]
    assert [line["answer"] for line in lines] == ["real"] * 3
    assert all(("seed" if line["generated"] else "test_image") in line["settings"] for line in lines)
    hits = review.blind(folder)
    assert hits.total == 3
    words = f"Right: {hits.right} of 3, {round(100 * hits.right / 3)} % (95 % interval {round(100 * hits.low)} to"
    expect(page.locator("#score")).to_contain_text(words)


def test_without_the_data_the_blind_test_says_how_to_get_it(visit: Visit, shipped: Path) -> None:
    page = visit(GAN, "blind")
    for language in ("English", "中文"):
        page.get_by_role("button", name=language).click()
        expect(page.locator("#status")).to_contain_text("python -m src.prepare data=mnist")
    assert not (shipped / "nothing").exists()


def test_by_keyboard_alone(visit: Visit, shipped: Path) -> None:
    page = visit(GAN)

    def tab_to(target: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(target)})"):
                return
        raise AssertionError(f"no way to {target}")

    drawn = pictures(page)
    tab_to("#tab-sample")
    page.keyboard.press("ArrowRight")
    page.locator("#control-directions-0").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("#slide").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator("[role=option]").first.wait_for()
    tab_to("#go")
    page.keyboard.press("Enter")
    drawn = changed(page, drawn)
    tab_to("[role=option]")
    for key in ("ArrowRight", "ArrowRight", "k", "ArrowLeft", "r"):
        page.keyboard.press(key)
    expect(page.locator("[role=option]").nth(2)).to_have_attribute("data-mark", "keep")
    expect(page.locator("[role=option]").nth(1)).to_have_attribute("data-mark", "reject")
    assert [mark.mark for mark in review.marks(shipped / GAN)] == ["keep", "reject"]
    tab_to("#control-n")
    page.keyboard.press("ArrowLeft")
    changed(page, drawn)
    page.evaluate("document.activeElement.blur()")
    tab_to("[data-run]:not([aria-current=true])")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2).nth(1)).not_to_have_text("mlp_gan")


def test_accessible(visit: Visit) -> None:
    page = visit(VAE)
    for tab, scheme in (
        ("kept", "light"),
        ("directions", "light"),
        ("morph", "light"),
        ("reconstruct", "dark"),
        ("blind", "dark"),
        ("sample", "dark"),
    ):
        page.emulate_media(color_scheme=scheme)
        page.locator(f"#tab-{tab}").click()
        page.wait_for_timeout(200)
        found = Axe().run(page).response["violations"]
        serious = [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")]
        assert serious == [], tab


def test_languages(visit: Visit) -> None:
    page = visit(GAN, locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    page.get_by_role("button", name="生成新图片").wait_for()
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Draw new pictures").wait_for()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    page.get_by_role("button", name="Draw new pictures").wait_for()  # the choice stays


def test_a_narrow_screen_does_not_scroll_sideways(visit: Visit) -> None:
    page = visit(VAE)
    wide = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("directions", "morph", "reconstruct", "film", "kept", "sample"):
        page.locator(f"#tab-{tab}").click()
        for language in ("中文", "English"):
            page.get_by_role("button", name=language).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    expect(page.locator("#go")).to_be_in_viewport()
    page.locator("#tab-directions").click()
    page.locator("#control-directions-4").scroll_into_view_if_needed()
    expect(page.locator(".sides img").first).to_be_in_viewport()  # while the last slider is moved
    page.locator("#tab-sample").click()
    page.locator("#compare").select_option(index=1)
    expect(page.locator(".sides.two h3")).to_have_count(2)
    left, right = (side.bounding_box() for side in page.locator(".sides.two > div").all())
    assert left["width"] == right["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size(wide)


def test_two_tabs_at_once(visit: Visit) -> None:
    one, two = visit(GAN), visit(FLOW, second=True)
    before = pictures(one), pictures(two)
    for page in (one, two, one, two):
        page.locator("#go").click()
    for page, earlier in zip((one, two), before, strict=True):
        changed(page, earlier)
    # In the end each shows what its own seed draws.
    for page in (one, two):
        expect(page.locator("#status")).to_contain_text("Done")
        seed = page.locator("#control-seed").input_value()
        expect(page.locator("[role=option]").first).to_have_attribute("aria-label", re.compile(f"^Seed {seed},"))


def test_a_page_whose_program_has_ended_says_so(visit: Visit) -> None:
    page = visit(GAN)
    page.route("**/draw", lambda route: route.abort())
    page.locator("#go").click()
    expect(page.locator("#status")).to_contain_text("start it again with  python -m src.play")
    page.unroute("**/draw")
