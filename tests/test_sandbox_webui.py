"""The sandbox's WebUI over real HTTP: what a client of a Stable Diffusion server meets."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from api.sandbox import SandboxError
from api.sandbox.webui import running_webui
from api.sandbox.webui_drawing import SCENES
from api.sandbox.webui_words import MOODS, Subject
from api.stack.ports import free_port
from api.stack.wait import wait_until
from tests.processes import clean_environment

Json = dict[str, Any]
SIZE = {"width": 128, "height": 192}
MODELS = ["realisticVision_v40", "deliberate_v2", "dreamshaper_7"]
# As the starter styles of a new database word them.
STYLES = {
    "realistic": ("realisticVision_v40", "photorealistic, cinematic light, highly detailed"),
    "artistic": ("deliberate_v2", "expressive oil painting, visible brush strokes, bold colors"),
    "fantasy": ("dreamshaper_7", "epic fantasy illustration, magical glow, dramatic sky"),
    "minimalist": ("deliberate_v2", "minimalist flat design, two colors, negative space"),
    "vintage": ("realisticVision_v40", "vintage print of the 1930s, aged paper, halftone"),
}
PROMPT = 'book cover for "Carried Forward", literary fiction novel, a ship'
# What is drawn fastest, where it does not matter what it is.
PLAIN = f"{PROMPT}, {STYLES['minimalist'][1]}"


@dataclass
class Easel:
    """A running sandbox, and short calls to it."""

    url: str
    auth: tuple[str, str] | None = None

    def raw(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        # Without certificates, which would be read for each request.
        return httpx.request(
            method,
            self.url + path,
            json=body,
            auth=self.auth,
            timeout=20,
            verify=False,
            **options,
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, which must be a success."""
        answer = self.raw(method, path, body)
        assert answer.is_success, answer.text
        return answer.json()

    def paint(self, **order: Any) -> httpx.Response:
        return self.raw("POST", "/sdapi/v1/txt2img", {"prompt": PLAIN, "steps": 4, **SIZE, **order})

    def painted(self, **order: Any) -> Json:
        answer = self.paint(**order)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def fault(self, fault: str, **more: Any) -> None:
        self.ask("POST", "/_sandbox/faults", {"fault": fault, **more})

    def progress(self, task_id: str, **more: Any) -> Json:
        found: Json = self.ask("POST", "/internal/progress", {"id_task": task_id, **more})
        return found

    def tasks(self) -> list[Json]:
        found: list[Json] = self.ask("GET", "/_sandbox/tasks")["tasks"]
        return found

    def states(self) -> dict[str, str]:
        return {each["id"]: each["state"] for each in self.tasks()}

    def wait_for(self, task_id: str, state: str) -> None:
        reached = wait_until(lambda: self.states().get(task_id) == state, seconds=15)
        assert reached, self.tasks()

    def wait_for_any(self, task_id: str) -> None:
        """Until this task has been taken up."""
        assert wait_until(lambda: task_id in self.states(), seconds=15), task_id

    @contextmanager
    def painting(self, *task_ids: str, **order: Any) -> Iterator[list[Future[httpx.Response]]]:
        """Requests under way, one after the other has been taken up."""
        with ThreadPoolExecutor(len(task_ids)) as pool:
            futures = []
            for task_id in task_ids:
                futures.append(pool.submit(self.paint, force_task_id=task_id, **order))
                self.wait_for_any(task_id)
            yield futures


@pytest.fixture(scope="module")
def shared() -> Iterator[Easel]:
    """For what leaves nothing behind."""
    with running_webui(seconds=0) as webui:
        yield Easel(webui.url)


@pytest.fixture
def easel() -> Iterator[Easel]:
    """One of its own, at once with its pictures."""
    with running_webui(seconds=0) as webui:
        yield Easel(webui.url)


@pytest.fixture
def slow() -> Iterator[Easel]:
    """One that takes so long that whoever waits for the end has failed."""
    with running_webui(seconds=300) as webui:
        yield Easel(webui.url)


def image(answer: Json, number: int = 0) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(answer["images"][number], validate=True)))


def info(answer: Json) -> Json:
    found: Json = json.loads(answer["info"])
    return found


def pixels(answer: Json) -> bytes:
    return image(answer).convert("RGB").tobytes()


# Drawing


def test_an_answer_has_the_image_and_what_it_was_made_with(shared: Easel) -> None:
    answer = shared.painted(
        seed=7,
        negative_prompt="blurry",
        sampler_name="DPM++ 2M",
        scheduler="Karras",
        cfg_scale=6.5,
        override_settings={"sd_model_checkpoint": "dreamshaper_7"},
    )
    with image(answer) as picture:
        assert (picture.format, picture.size) == ("PNG", (128, 192))
        assert "Seed: 7" in picture.info["parameters"]
    made = info(answer)
    assert (made["seed"], made["all_seeds"], made["index_of_first_image"]) == (7, [7], 0)
    assert (made["sd_model_name"], len(made["sd_model_hash"])) == ("dreamshaper_7", 10)
    assert (made["width"], made["height"], made["steps"]) == (128, 192, 4)
    assert (made["sampler_name"], made["cfg_scale"]) == ("DPM++ 2M", 6.5)
    assert (made["prompt"], made["negative_prompt"]) == (PLAIN, "blurry")
    assert answer["parameters"]["prompt"] == PLAIN


def test_the_same_request_draws_the_same_picture(shared: Easel) -> None:
    first = shared.painted(seed=11)
    assert pixels(shared.painted(seed=11)) == pixels(first)
    assert pixels(shared.painted(seed=12)) != pixels(first)
    assert pixels(shared.painted(seed=11, prompt=PLAIN.replace("Carried", "Put"))) != pixels(first)
    other = {"sd_model_checkpoint": "dreamshaper_7"}
    assert pixels(shared.painted(seed=11, override_settings=other)) != pixels(first)


def test_without_a_seed_each_picture_is_another(shared: Easel) -> None:
    one, two = shared.painted(seed=-1), shared.painted()
    assert info(one)["seed"] != info(two)["seed"]
    assert min(info(one)["seed"], info(two)["seed"]) >= 0
    assert pixels(shared.painted(seed=info(one)["seed"])) == pixels(one)


def test_the_five_styles_differ(shared: Easel) -> None:
    seen: dict[str, bytes] = {}
    for style, (model, words) in STYLES.items():
        answer = shared.painted(
            prompt=f"{PROMPT}, {words}",
            seed=5,
            width=256,
            height=384,
            override_settings={"sd_model_checkpoint": model},
        )
        picture = image(answer).convert("RGB")
        assert picture.size == (256, 384)
        # No picture is nearly of one color, and none is nearly like another.
        assert max(ImageStat.Stat(picture).stddev) > 20, style
        tiny = picture.resize((8, 12)).tobytes()
        for other, found in seen.items():
            difference = sum(abs(a - b) for a, b in zip(tiny, found, strict=True)) / len(tiny)
            assert difference > 15, (style, other)
        seen[style] = tiny


@pytest.mark.parametrize("style", STYLES)
def test_the_title_is_on_the_picture(style: str) -> None:
    """The same scene with letters and without: something large differs in its upper part."""

    def scene(title: str) -> Image.Image:
        asked = Subject(title, style, MOODS["cold"], "sea", "mystery")
        return SCENES[style](asked, Random(3), (256, 384)).crop((0, 0, 256, 150))

    def changed(one: Image.Image, other: Image.Image) -> float:
        """The share of the pixels that are clearly others."""
        counts = ImageChops.difference(one, other).convert("L").histogram()
        return sum(counts[60:]) / sum(counts)

    empty = scene("")
    assert changed(empty, scene("")) == 0
    assert changed(empty, scene("Carried Forward")) > 0.03


@pytest.mark.parametrize(
    "title", ["", "I", "W" * 200, "many words " * 18, "Пути", "道", 'no "end', "Ünïcödé", "<&>%{}"]
)
def test_any_title_can_be_drawn(shared: Easel, title: str) -> None:
    for model, words in STYLES.values():
        answer = shared.painted(
            prompt=f'book cover for "{title}", {words}',
            override_settings={"sd_model_checkpoint": model},
            width=64,
            height=96,
        )
        assert image(answer).size == (64, 96)


@pytest.mark.parametrize("size", [(64, 64), (768, 512), (200, 1000), (1000, 200)])
def test_any_size_can_be_drawn(shared: Easel, size: tuple[int, int]) -> None:
    for _, words in STYLES.values():
        answer = shared.painted(prompt=f"{PROMPT}, {words}", width=size[0], height=size[1])
        assert image(answer).size == size


def test_a_side_is_a_multiple_of_eight(shared: Easel) -> None:
    answer = shared.painted(width=135, height=199)
    assert image(answer).size == (128, 192)
    assert (info(answer)["width"], info(answer)["height"]) == (135, 199)


def test_several_images_come_behind_a_sheet_with_all_of_them(shared: Easel) -> None:
    answer = shared.painted(seed=20, batch_size=2, n_iter=2)
    assert info(answer)["index_of_first_image"] == 1
    assert info(answer)["all_seeds"] == [20, 21, 22, 23]
    assert [image(answer, number).size for number in range(5)] == [(256, 384)] + [(128, 192)] * 4
    assert image(answer, 1).convert("RGB").tobytes() == pixels(shared.painted(seed=20))


def test_a_sheet_may_lead_a_single_image(easel: Easel) -> None:
    easel.ask("POST", "/sdapi/v1/options", {"grid_only_if_multiple": False})
    answer = easel.painted(seed=20)
    assert (len(answer["images"]), info(answer)["index_of_first_image"]) == (2, 1)


def test_images_can_be_left_out(shared: Easel) -> None:
    answer = shared.painted(send_images=False)
    assert answer["images"] == []
    assert info(answer)["sd_model_name"]


@pytest.mark.parametrize(("setting", "form"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_format_is_the_servers_own(easel: Easel, setting: str, form: str) -> None:
    assert easel.raw("POST", "/sdapi/v1/options", {"samples_format": setting}).json() is None
    assert image(easel.painted()).format == form


# Models and lists


def test_the_models_are_listed(shared: Easel) -> None:
    models = shared.ask("GET", "/sdapi/v1/sd-models")
    assert [each["model_name"] for each in models] == MODELS
    for each in models:
        assert each["title"] == f"{each['model_name']}.safetensors [{each['hash']}]"
        assert each["sha256"].startswith(each["hash"])
        assert each["filename"].endswith(f"/{each['model_name']}.safetensors")
    assert shared.ask("POST", "/sdapi/v1/refresh-checkpoints") is None


def test_samplers_and_schedulers_are_listed(shared: Easel) -> None:
    samplers = [each["name"] for each in shared.ask("GET", "/sdapi/v1/samplers")]
    assert {"DPM++ 2M", "Euler a"} <= set(samplers)
    schedulers = [each["label"] for each in shared.ask("GET", "/sdapi/v1/schedulers")]
    assert {"Karras", "Automatic"} <= set(schedulers)


def test_a_model_is_found_by_any_of_its_names(shared: Easel) -> None:
    listed = shared.ask("GET", "/sdapi/v1/sd-models")[1]
    names = [listed["model_name"], listed["title"], listed["hash"], listed["sha256"]]
    for name in [*names, "deliberate_v2.safetensors", "deliberate", "deliberate_v2 [0000000000]"]:
        answer = shared.painted(override_settings={"sd_model_checkpoint": name})
        assert info(answer)["sd_model_name"] == "deliberate_v2", name


def test_an_unknown_model_is_replaced_in_silence(easel: Easel) -> None:
    easel.ask("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "dreamshaper_7"})
    answer = easel.painted(override_settings={"sd_model_checkpoint": "unheardOf_v9"})
    assert info(answer)["sd_model_name"] == "dreamshaper_7"
    (task,) = easel.tasks()
    assert (task["asked_model"], task["model"]) == ("unheardOf_v9", "dreamshaper_7")


def test_an_unknown_model_in_the_options_is_an_error(easel: Easel) -> None:
    answer = easel.raw("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "unheardOf_v9"})
    assert answer.status_code == 500
    assert answer.json()["error"] == "RuntimeError"
    assert "unheardOf_v9" in answer.json()["errors"]
    options = easel.ask("GET", "/sdapi/v1/options")
    assert options["sd_model_checkpoint"].startswith("realisticVision_v40.safetensors [")


@pytest.mark.parametrize(
    "given", [{"samples_format": "bmp"}, {"nonsense": 1}, {"samples_format": 7}, {"return_grid": 1}]
)
def test_wrong_options_change_nothing(easel: Easel, given: Json) -> None:
    before = easel.ask("GET", "/sdapi/v1/options")
    answer = easel.raw("POST", "/sdapi/v1/options", {"jpeg_quality": 60, **given})
    assert (answer.status_code, set(answer.json())) == (500, {"error", "detail", "body", "errors"})
    assert easel.ask("GET", "/sdapi/v1/options") == before


def test_the_model_is_put_back_unless_it_is_to_stay(easel: Easel) -> None:
    def loaded() -> str:
        title: str = easel.ask("GET", "/sdapi/v1/options")["sd_model_checkpoint"]
        return title.partition(".")[0]

    other = {"sd_model_checkpoint": "dreamshaper_7"}
    easel.painted(override_settings=other)
    assert loaded() == "realisticVision_v40"
    easel.painted(override_settings=other, override_settings_restore_afterwards=False)
    assert loaded() == "dreamshaper_7"


# What is refused


@pytest.mark.parametrize(
    ("order", "field", "kind"),
    [
        ({"steps": "many"}, "steps", "type_error.integer"),
        ({"cfg_scale": []}, "cfg_scale", "type_error.float"),
        ({"prompt": {"a": 1}}, "prompt", "type_error.str"),
        ({"override_settings": "x"}, "override_settings", "type_error.dict"),
        ({"send_images": "maybe"}, "send_images", "type_error.bool"),
        ({"steps": 0}, "steps", "value_error.number"),
        ({"width": -512}, "width", "value_error.number"),
        ({"height": 8}, "width", "value_error.number"),
    ],
)
def test_wrong_types_are_refused(shared: Easel, order: Json, field: str, kind: str) -> None:
    answer = shared.paint(**order)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", field], kind)
    assert problem["msg"]


def test_types_are_read_leniently(shared: Easel) -> None:
    answer = shared.painted(steps="4", seed=9.0, cfg_scale="7", send_images="true", nonsense=1)
    assert (info(answer)["seed"], info(answer)["cfg_scale"]) == (9, 7.0)
    assert "nonsense" not in answer["parameters"]


@pytest.mark.parametrize("content", [b"", b"no json", b"[1]", b'"text"', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(shared: Easel, content: bytes) -> None:
    for path in ("/sdapi/v1/txt2img", "/internal/progress", "/sdapi/v1/options"):
        answer = httpx.post(shared.url + path, content=content, timeout=20)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body"]), path


def test_an_unknown_sampler_is_refused(shared: Easel) -> None:
    answer = shared.paint(sampler_name="Invented")
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "HTTPException",
        "detail": "Sampler not found",
        "body": "",
        "errors": "",
    }


def test_what_does_not_fit_into_memory_fails(shared: Easel) -> None:
    for order in ({"width": 4096, "height": 4096}, {"batch_size": 9, "n_iter": 9}):
        answer = shared.paint(**order)
        assert answer.status_code == 500
        assert answer.json()["error"] == "OutOfMemoryError"


def test_unknown_paths_and_methods(shared: Easel) -> None:
    answer = shared.raw("GET", "/sdapi/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = shared.raw("GET", "/sdapi/v1/txt2img")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert shared.ask("GET", "/internal/ping") == {}


def test_a_password_is_asked_for() -> None:
    with running_webui(seconds=0, auth="painter:se:cret/1") as webui:
        good = Easel(webui.url, ("painter", "se:cret/1"))
        assert len(good.ask("GET", "/sdapi/v1/sd-models")) == 3
        assert good.painted()["images"]
        for auth in (None, ("painter", "secret"), ("other", "se:cret/1"), ("", "")):
            refused = Easel(webui.url, auth)
            for answer in (refused.paint(), refused.raw("GET", "/sdapi/v1/sd-models")):
                assert answer.status_code == 401
                assert answer.json()["error"] == "HTTPException"
        assert len(good.tasks()) == 1
        # Only the API is locked, as there.
        assert Easel(webui.url).ask("GET", "/internal/ping") == {}
        assert Easel(webui.url).progress("x")["active"] is False


@pytest.mark.parametrize("auth", ["painter", ":secret", "painter:"])
def test_a_password_without_a_name_is_refused(auth: str) -> None:
    with pytest.raises(SandboxError, match="user:password"), running_webui(auth=auth):
        pass


def test_a_taken_port_is_said() -> None:
    port = free_port()
    with (
        running_webui(port) as webui,
        pytest.raises(SandboxError, match=f"127.0.0.1:{port} cannot be listened on"),
        running_webui(port),
    ):
        pass
    assert webui.url == f"http://127.0.0.1:{port}"


# Progress, the queue, and stopping


def test_progress_of_a_task_that_nobody_knows(shared: Easel) -> None:
    found = shared.progress("task-unknown")
    assert (found["active"], found["queued"], found["completed"]) == (False, False, False)
    assert (found["progress"], found["eta"], found["live_preview"]) == (None, None, None)
    assert found["textinfo"] == "Waiting..."
    idle = shared.ask("GET", "/sdapi/v1/progress")
    assert (idle["progress"], idle["current_image"]) == (0.0, None)
    assert idle["state"]["job_count"] == 0


def test_one_is_drawn_after_the_other_while_all_can_be_watched(slow: Easel) -> None:
    with slow.painting("first", "second", "third", steps=1000) as (one, two, three):
        slow.wait_for("first", "running")
        assert wait_until(lambda: slow.progress("first")["progress"] > 0, seconds=15)
        first = slow.progress("first", id_live_preview=-1, live_preview=True)
        assert (first["active"], first["queued"], first["completed"]) == (True, False, False)
        assert 0 < first["progress"] < 0.5
        assert first["eta"] > 0
        head, _, data = first["live_preview"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert Image.open(BytesIO(base64.b64decode(data))).size == (128, 192)
        assert slow.progress("first", live_preview=False)["live_preview"] is None
        second = slow.progress("second")
        assert (second["active"], second["queued"], second["textinfo"]) == (
            False,
            True,
            "Queued...",
        )
        whole = slow.ask("GET", "/sdapi/v1/progress")
        assert (whole["current_task"], whole["state"]["sampling_steps"]) == ("first", 1000)
        assert whole["current_image"]
        skipped = slow.ask("GET", "/sdapi/v1/progress?skip_current_image=true")
        assert skipped["current_image"] is None

        assert slow.ask("POST", "/sdapi/v1/interrupt") == {}
        assert one.result(15).status_code == 200
        slow.wait_for("second", "running")
        assert slow.states() == {"first": "interrupted", "second": "running", "third": "queued"}
        assert slow.progress("first")["completed"] is True
        for task_id, future in (("second", two), ("third", three)):
            slow.wait_for(task_id, "running")
            slow.ask("POST", "/sdapi/v1/interrupt")
            assert future.result(15).status_code == 200
    assert [each["id"] for each in slow.tasks()] == ["first", "second", "third"]
    assert [each["is_interrupted"] for each in slow.tasks()] == [True] * 3


def test_what_was_interrupted_is_half_drawn(slow: Easel) -> None:
    with slow.painting("cut short", seed=4, steps=1000) as (one,):
        slow.wait_for("cut short", "running")
        slow.ask("POST", "/sdapi/v1/interrupt")
        answer = one.result(15)
    assert answer.status_code == 200
    assert image(answer.json()).size == (128, 192)
    assert info(answer.json())["seed"] == 4
    with running_webui(seconds=0) as quick:
        assert pixels(Easel(quick.url).painted(seed=4, steps=1000)) != pixels(answer.json())


def test_an_interrupt_without_a_task_stops_nobody_later(easel: Easel) -> None:
    easel.ask("POST", "/sdapi/v1/interrupt")
    easel.painted(force_task_id="later")
    assert easel.states() == {"later": "finished"}


def test_a_finished_task_is_completed(easel: Easel) -> None:
    easel.painted(force_task_id="done")
    found = easel.progress("done")
    assert (found["active"], found["queued"], found["completed"]) == (False, False, True)


def test_a_task_has_a_name_of_its_own_if_none_is_forced(easel: Easel) -> None:
    easel.painted()
    (task,) = easel.tasks()
    assert task["id"].startswith("task(txt2img-")


def test_it_goes_on_when_the_client_went_away(easel: Easel) -> None:
    easel.fault("hang")
    body = {"prompt": PLAIN, "force_task_id": "left", **SIZE}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{easel.url}/sdapi/v1/txt2img", json=body, timeout=0.5)
    assert easel.states() == {"left": "running"}
    easel.ask("POST", "/_sandbox/faults/release")
    easel.wait_for("left", "finished")


def test_closing_ends_what_is_drawn_and_what_waits() -> None:
    with running_webui(seconds=3000) as webui:
        easel = Easel(webui.url)
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(easel.paint, force_task_id=str(each)) for each in range(2)]
            assert wait_until(lambda: len(easel.states()) == 2, seconds=15)
            webui.close()
            assert [each.result(15).status_code for each in futures] == [500, 500]


def test_closing_lets_go_of_who_hangs() -> None:
    with running_webui(seconds=0) as webui:
        easel = Easel(webui.url)
        easel.fault("hang")
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(easel.paint)
            assert wait_until(
                lambda: easel.ask("GET", "/_sandbox/faults")["holding"] == 1, seconds=15
            )
            webui.close()
            assert future.result(15).status_code == 500


# Faults


def test_a_fault_strikes_as_often_as_it_is_told(easel: Easel) -> None:
    easel.fault("server_error", times=2)
    assert [easel.paint().status_code for _ in range(3)] == [500, 500, 200]
    easel.fault("server_error", times=None)
    assert [easel.paint().status_code for _ in range(3)] == [500, 500, 500]
    listed = easel.ask("GET", "/_sandbox/faults")
    assert [(each["fault"], each["times"], each["struck"]) for each in listed["faults"]] == [
        ("server_error", 2, 2),
        ("server_error", None, 3),
    ]
    assert easel.ask("DELETE", "/_sandbox/faults")["faults"] == []
    assert easel.paint().status_code == 200


@pytest.mark.parametrize(
    ("fault", "error"), [("out_of_memory", "OutOfMemoryError"), ("server_error", "RuntimeError")]
)
def test_a_task_that_failed_stays_active(easel: Easel, fault: str, error: str) -> None:
    easel.fault(fault)
    answer = easel.paint(force_task_id="broken")
    assert (answer.status_code, answer.json()["error"]) == (500, error)
    assert ("out of memory" in answer.text) is (fault == "out_of_memory")
    assert easel.states() == {"broken": "failed"}
    found = easel.progress("broken")
    assert (found["active"], found["completed"], found["progress"]) == (True, False, 0)
    easel.painted(force_task_id="next")
    assert easel.progress("broken")["active"] is False


def test_another_model_than_asked_for(easel: Easel) -> None:
    easel.fault("model_swap")
    settings = {"sd_model_checkpoint": "deliberate_v2"}
    answer = easel.painted(override_settings=settings)
    assert info(answer)["sd_model_name"] in {"realisticVision_v40", "dreamshaper_7"}
    assert info(easel.painted(override_settings=settings))["sd_model_name"] == "deliberate_v2"


def test_bytes_that_are_no_image(easel: Easel) -> None:
    easel.fault("garbage")
    with pytest.raises(OSError, match="cannot identify image file"):
        image(easel.painted())


def test_an_image_of_one_color(easel: Easel) -> None:
    easel.fault("blank")
    picture = image(easel.painted())
    assert picture.size == (128, 192)
    assert len(picture.getcolors() or []) == 1


def test_an_image_of_another_size(easel: Easel) -> None:
    easel.fault("wrong_size")
    assert image(easel.painted(width=256, height=384)).size == (128, 192)


def test_an_answer_without_info(easel: Easel) -> None:
    easel.fault("empty_info")
    answer = easel.painted()
    assert answer["info"] == ""
    assert image(answer).size == (128, 192)


def test_an_answer_that_breaks_off(easel: Easel) -> None:
    easel.fault("connection_cut")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        easel.paint(force_task_id="lost")
    assert easel.states() == {"lost": "finished"}
    easel.fault("connection_cut", path="/sdapi/v1/sd-models")
    with pytest.raises(httpx.RemoteProtocolError):
        easel.raw("GET", "/sdapi/v1/sd-models")
    assert easel.raw("GET", "/sdapi/v1/sd-models").status_code == 200


def test_a_task_that_hangs_notices_no_interrupt(easel: Easel) -> None:
    easel.fault("hang")
    with easel.painting("stuck", "behind", steps=10) as (stuck, behind):
        assert wait_until(lambda: easel.ask("GET", "/_sandbox/faults")["holding"] == 1, seconds=15)
        found = easel.progress("stuck")
        assert (found["active"], found["progress"]) == (True, 0.5)
        easel.ask("POST", "/sdapi/v1/interrupt")
        assert easel.progress("stuck")["progress"] == 0.5
        assert easel.states() == {"stuck": "running", "behind": "queued"}
        assert not stuck.done()
        assert easel.ask("POST", "/_sandbox/faults/release") == {"released": 1}
        assert (stuck.result(15).status_code, behind.result(15).status_code) == (200, 200)
    assert easel.states() == {"stuck": "interrupted", "behind": "finished"}


def test_clearing_faults_lets_go_of_who_hangs(easel: Easel) -> None:
    easel.fault("hang")
    with easel.painting("stuck") as (stuck,):
        assert wait_until(lambda: easel.ask("GET", "/_sandbox/faults")["holding"] == 1, seconds=15)
        easel.ask("DELETE", "/_sandbox/faults")
        assert stuck.result(15).status_code == 200


def test_a_slow_task_can_be_interrupted(easel: Easel) -> None:
    easel.fault("slow", seconds=3000)
    with easel.painting("slow") as (future,):
        easel.wait_for("slow", "running")
        easel.ask("POST", "/sdapi/v1/interrupt")
        assert future.result(15).status_code == 200
    assert easel.states() == {"slow": "interrupted"}


def test_slow_comes_on_top_of_another_fault(easel: Easel) -> None:
    easel.fault("out_of_memory")
    easel.fault("slow", seconds=0.6)
    assert easel.paint(steps=10).status_code == 500
    (task,) = easel.tasks()
    assert task["fault"] == "out_of_memory"
    assert task["ended_at"] - task["started_at"] > 0.3
    assert easel.paint(steps=10).status_code == 200
    assert [each["struck"] for each in easel.ask("GET", "/_sandbox/faults")["faults"]] == [1, 1]


def test_unauthorized_and_missing_parts(easel: Easel) -> None:
    easel.fault("unauthorized")
    assert easel.paint().status_code == 401
    easel.fault("unauthorized", path="/sdapi/v1/sd-models")
    assert easel.raw("GET", "/sdapi/v1/sd-models").status_code == 401
    easel.fault("missing")
    assert easel.raw("GET", "/sdapi/v1/sd-models").status_code == 404
    assert easel.raw("GET", "/sdapi/v1/sd-models").status_code == 200
    easel.fault("missing", path="/sdapi/v1/txt2img")
    assert easel.paint().json() == {"detail": "Not Found"}
    easel.fault("no_progress", times=None)
    assert easel.raw("POST", "/internal/progress", {"id_task": "x"}).status_code == 404
    assert easel.paint().status_code == 200
    assert len(easel.tasks()) == 1


def test_a_whole_server_can_fail(easel: Easel) -> None:
    easel.fault("server_error", path="/sdapi/*", times=None)
    for method, path in (("GET", "/sdapi/v1/sd-models"), ("POST", "/sdapi/v1/interrupt")):
        assert easel.raw(method, path).status_code == 500
    assert easel.paint().status_code == 500
    assert easel.ask("GET", "/internal/ping") == {}


def test_a_share_of_all_pictures_fails(easel: Easel) -> None:
    kinds = ["out_of_memory", "server_error"]
    easel.ask("POST", "/_sandbox/faults", {"share": 0.3, "seed": 7, "kinds": kinds})
    first = [easel.paint(width=64, height=64).status_code for _ in range(40)]
    chance = easel.ask("GET", "/_sandbox/faults")["chance"]
    assert (chance["asked"], chance["struck"]) == (40, first.count(500))
    assert 4 <= first.count(500) <= 20
    assert {each["fault"] for each in easel.tasks() if each["fault"]} == set(kinds)
    easel.ask("POST", "/_sandbox/faults", {"share": 0.3, "seed": 7, "kinds": kinds})
    assert [easel.paint(width=64, height=64).status_code for _ in range(40)] == first
    assert easel.ask("DELETE", "/_sandbox/faults")["chance"] is None
    assert easel.paint(width=64, height=64).status_code == 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fault": "meteor"}, "fault is one of: "),
        ({}, "fault is one of: "),
        ({"fault": "slow", "times": 0}, "times is a number from 1, or null for always."),
        ({"fault": "slow", "times": True}, "times is a number from 1, or null for always."),
        ({"fault": "slow", "seconds": -1}, "seconds is a number from 0 to "),
        ({"fault": "blank", "path": "/sdapi/v1/options"}, "blank can only strike "),
        ({"fault": "slow", "colour": "red"}, "colour is unknown here; known: fault, "),
        ({"share": 1.5}, "share is a number from 0 to 1."),
        ({"share": 0.1, "kinds": ["meteor"]}, "kinds are among: "),
        ({"share": 0.1, "kinds": "slow"}, "kinds is a list of texts."),
    ],
)
def test_faults_that_make_no_sense_are_refused(shared: Easel, given: Json, said: str) -> None:
    answer = shared.raw("POST", "/_sandbox/faults", given)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)
    assert shared.ask("GET", "/_sandbox/faults") == {"faults": [], "holding": 0, "chance": None}


# Tasks and the page


def test_tasks_are_listed_and_forgotten(easel: Easel) -> None:
    easel.painted(force_task_id="one", seed=6, override_settings={"sd_model_checkpoint": "dream"})
    (task,) = easel.tasks()
    assert task["started_at"] >= task["asked_at"]
    assert task["ended_at"] >= task["started_at"]
    assert (task["seed"], task["model"], task["prompt"]) == (6, "dreamshaper_7", PLAIN)
    assert (task["state"], task["fault"], task["progress"]) == ("finished", None, 1.0)
    assert easel.ask("DELETE", "/_sandbox/tasks") == {"tasks": []}


def test_the_page_shows_the_last_pictures(easel: Easel) -> None:
    empty = easel.raw("GET", "/")
    assert empty.status_code == 200
    assert "Sandbox." in empty.text
    assert "None yet." in empty.text
    easel.painted(prompt='book cover for "<script>alert(1)</script>", a novel', seed=77)
    page = easel.raw("GET", "/")
    assert '<img src="/pictures/1.jpg"' in page.text
    assert "seed 77" in page.text
    assert "<script>" not in page.text
    assert "img-src 'self'" in page.headers["Content-Security-Policy"]
    shown = easel.raw("GET", "/pictures/1.jpg")
    assert shown.headers["Content-Type"] == "image/jpeg"
    assert Image.open(BytesIO(shown.content)).size == (128, 192)
    assert easel.raw("GET", "/pictures/2.jpg").status_code == 404


def test_many_at_once_are_all_answered(easel: Easel) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: easel.painted(seed=seed, width=64), range(24)))
    assert [info(answer)["seed"] for answer in answers] == list(range(24))
    spans = sorted((each["started_at"], each["ended_at"]) for each in easel.tasks())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


# As a process


@contextmanager
def process(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "api.sandbox.webui", *options]
    with subprocess.Popen(
        command,
        env=clean_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def test_it_runs_as_a_process() -> None:
    port = free_port()
    options = ("--port", str(port), "--seconds", "0")
    with process(*options, WEBUI_SANDBOX_AUTH="painter:secret") as started:
        assert started.stdout is not None
        said = started.stdout.readline()
        assert (
            said == f"the sandbox draws on http://127.0.0.1:{port}; there is no model behind it\n"
        )
        easel = Easel(f"http://127.0.0.1:{port}", ("painter", "secret"))
        assert image(easel.painted()).size == (128, 192)
        assert Easel(easel.url).paint().status_code == 401
        os.kill(started.pid, signal.SIGTERM)
        assert started.wait(15) == 0
        assert "secret" not in started.stdout.read()


def test_it_refuses_to_run_beside_a_live_key() -> None:
    with process("--port", "0", STRIPE_SECRET_KEY="sk_live_abc") as started:
        assert started.wait(15) == 1
        assert started.stdout is not None
        said = started.stdout.read()
    assert "STRIPE_SECRET_KEY is a live key" in said
    assert "STABLE_DIFFUSION_WEBUI_URL" in said
    assert "sk_live_abc" not in said


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    with running_webui(seconds=0) as webui:
        Easel(webui.url).painted()
    assert threading.active_count() == before
