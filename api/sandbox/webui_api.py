"""The WebUI's own API: /sdapi/v1 and /internal, as clients of AUTOMATIC1111's server know them."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Any

from flask import Blueprint, Response, request

from api.sandbox import webui_drawing as drawing
from api.sandbox.faults import Fault
from api.sandbox.webui_errors import InvalidError, WebuiError, json_response, refused
from api.sandbox.webui_faults import ANYWHERE, DRAWING, NO_PROGRESS, WebuiFaults
from api.sandbox.webui_models import CHECKPOINTS, SAMPLERS, SCHEDULERS, Settings
from api.sandbox.webui_request import Order, parse
from api.sandbox.webui_tasks import Gpu, Result

PREVIEW = (256, 384)
NOT_FOUND = {"detail": "Not Found"}


def webui_api(gpu: Gpu, settings: Settings, faults: WebuiFaults, auth: str | None) -> Blueprint:
    """The API of one server; `auth` is user:password, or None."""
    blueprint = Blueprint("webui_api", __name__)
    blueprint.register_error_handler(
        WebuiError, lambda error: json_response(error.status, error.body)
    )
    blueprint.register_error_handler(InvalidError, lambda error: json_response(422, error.body))

    @blueprint.before_request
    def check() -> Response | None:
        if auth is not None and request.path.startswith("/sdapi/"):
            _check_password(auth)
        if request.path == DRAWING and request.method == "POST":
            return None  # what goes wrong with drawing is found there
        struck = faults.strike(request.method, request.path, (*ANYWHERE, NO_PROGRESS))
        if (refusal := _refusal(struck)) is not None:
            return refusal
        _disturb(struck, faults)
        return None

    @blueprint.after_request
    def cut(response: Response) -> Response:
        return broken_off(response) if request.environ.get("webui.cut") else response

    _add_drawing(blueprint, gpu, settings, faults)
    _add_progress(blueprint, gpu, settings)
    _add_lists(blueprint, settings)
    return blueprint


def _check_password(auth: str) -> None:
    """As there, a client that waits to be asked for the password is not: it has to send it."""
    given = request.authorization
    if given is None or given.type != "basic":
        raise refused(401, "Not authenticated")
    said = f"{given.username}:{given.password}"
    if not compare_digest(said.encode(), auth.encode()):
        raise refused(401, "Incorrect username or password")


def _refusal(struck: Fault | None) -> Response | None:
    """The answer of a request that is not even looked at."""
    if struck is None:
        return None
    if struck.fault == "unauthorized":
        raise refused(401, "Incorrect username or password")
    return json_response(404, NOT_FOUND) if struck.fault in ("missing", NO_PROGRESS) else None


def _disturb(struck: Fault | None, faults: WebuiFaults) -> None:
    """What else can happen to any request that does not draw."""
    if struck is None:
        return
    if struck.fault == "server_error":
        raise WebuiError(500, "RuntimeError", errors="the sandbox was asked to fail")
    if struck.fault == "slow":
        faults.wait(struck.seconds)
    elif struck.fault == "hang":
        faults.hold()
    elif struck.fault == "connection_cut":
        request.environ["webui.cut"] = True


def broken_off(response: Response) -> Response:
    """An answer that promises everything and ends after the first half."""
    content = response.get_data()

    def half() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        raise ConnectionAbortedError("the sandbox was asked to cut this answer")

    headers = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
    return Response(half(), response.status_code, headers)


def _body() -> Any:
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        problem = ("", "the body is no JSON", "value_error.jsondecode")
        raise InvalidError(problem) from None


def _add_drawing(blueprint: Blueprint, gpu: Gpu, settings: Settings, faults: WebuiFaults) -> None:
    @blueprint.post("/sdapi/v1/txt2img")
    def txt2img() -> Response:
        struck = faults.for_drawing()
        if (refusal := _refusal(struck)) is not None:
            return refusal
        order = parse(_body())
        kind = struck.fault if struck else None
        response = json_response(200, _answer(gpu.draw(order, struck), settings, kind))
        return broken_off(response) if kind == "connection_cut" else response

    @blueprint.post("/sdapi/v1/interrupt")
    def interrupt() -> Response:
        gpu.interrupt()
        return json_response(200, {})


def _answer(result: Result, settings: Settings, fault: str | None) -> dict[str, Any]:
    order = result.task.order
    pictures = list(result.pictures)
    # A sheet with all pictures leads, so the first picture need not be the first image.
    is_many = len(pictures) > 1 or not settings.value("grid_only_if_multiple")
    grids = [drawing.grid(pictures)] if settings.value("return_grid") and is_many else []
    info = _info(order, result, len(grids))
    form, quality = settings.value("samples_format").lower(), settings.value("jpeg_quality")
    images = [
        drawing.encoded(each, form, quality, info["infotexts"][0]) for each in grids + pictures
    ]
    if fault == "garbage":
        images = [base64.b64encode(drawing.NO_IMAGE).decode() for _ in images]
    return {
        "images": images if order["send_images"] else [],
        "parameters": order.parameters,
        "info": "" if fault == "empty_info" else json.dumps(info),
    }


def _info(order: Order, result: Result, first: int) -> dict[str, Any]:
    """What the pictures were made with."""
    count = len(result.pictures)
    seeds = [order.seed + number for number in range(count)]
    checkpoint = result.checkpoint
    note = (
        f"{order['prompt']}\nNegative prompt: {order['negative_prompt']}\n"
        f"Steps: {order['steps']}, Sampler: {order.sampler}, CFG scale: {order['cfg_scale']}, "
        f"Seed: {order.seed}, Size: {order['width']}x{order['height']}, "
        f"Model hash: {checkpoint.short_hash}, Model: {checkpoint.name}, Version: sandbox"
    )
    return {
        "prompt": order["prompt"],
        "all_prompts": [order["prompt"]] * count,
        "negative_prompt": order["negative_prompt"],
        "all_negative_prompts": [order["negative_prompt"]] * count,
        "seed": order.seed,
        "all_seeds": seeds,
        "subseed": order.seed,
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": order["width"],
        "height": order["height"],
        "sampler_name": order.sampler,
        "cfg_scale": order["cfg_scale"],
        "steps": order["steps"],
        "batch_size": order["batch_size"],
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": checkpoint.name,
        "sd_model_hash": checkpoint.short_hash,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "denoising_strength": None,
        "extra_generation_params": {"Schedule type": order["scheduler"] or "Automatic"},
        "index_of_first_image": first,
        "infotexts": [note] * (count + first),
        "styles": [],
        "job_timestamp": datetime.now(UTC).strftime("%Y%m%d%H%M%S"),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": "sandbox",
    }


def _add_progress(blueprint: Blueprint, gpu: Gpu, settings: Settings) -> None:
    @blueprint.post("/internal/progress")
    def internal_progress() -> Response:
        given = _body()
        if not isinstance(given, dict):
            raise InvalidError(("", "value is not a valid dict", "type_error.dict"))
        task_id = given.get("id_task")
        is_active, is_queued, is_completed, task = gpu.progress(
            task_id if isinstance(task_id, str) else None
        )
        answer: dict[str, Any] = {
            "active": is_active,
            "queued": is_queued,
            "paused": False,
            "completed": is_completed,
            "progress": (task.share if task else 0.0) if is_active else None,
            "eta": None,
            "live_preview": None,
            "id_live_preview": -1,
            "textinfo": None if is_active else "Queued..." if is_queued else "Waiting...",
        }
        if task is not None:
            answer["eta"] = _seconds_left(task.share, task.started_at)
            picture, step = task.picture, task.step
            wants = settings.value("live_previews_enable") and given.get("live_preview", True)
            if wants and picture is not None and step != given.get("id_live_preview"):
                preview = drawing.half_drawn(picture, task.share, task.order.seed)
                data = base64.b64encode(drawing.small_jpeg(preview, PREVIEW)).decode()
                answer["live_preview"] = f"data:image/jpeg;base64,{data}"
                answer["id_live_preview"] = step
        return json_response(200, answer)

    @blueprint.get("/sdapi/v1/progress")
    def progress() -> Response:
        task = gpu.running
        share = min(task.share + 0.01, 1.0) if task else 0.0
        picture = task.picture if task else None
        current = None
        if task and picture and request.args.get("skip_current_image", "false") in ("false", "0"):
            preview = drawing.half_drawn(picture, task.share, task.order.seed)
            current = base64.b64encode(drawing.small_jpeg(preview, PREVIEW)).decode()
        left = _seconds_left(share, task.started_at) if task else None
        state = {
            "skipped": False,
            "interrupted": task.interrupt.is_set() if task else False,
            "stopping_generation": False,
            "job": "scripts_txt2img" if task else "",
            "job_count": task.order["n_iter"] if task else 0,
            "job_timestamp": datetime.now(UTC).strftime("%Y%m%d%H%M%S"),
            "job_no": task.turn if task else 0,
            "sampling_step": task.step if task else 0,
            "sampling_steps": task.order["steps"] if task else 0,
        }
        return json_response(
            200,
            {
                "progress": share,
                "eta_relative": left or 0.0,
                "state": state,
                "current_image": current,
                "textinfo": None,
                "current_task": task.id if task else None,
            },
        )

    @blueprint.get("/internal/ping")
    def ping() -> Response:
        return json_response(200, {})


def _seconds_left(share: float, started_at: float | None) -> float | None:
    if not share or started_at is None:
        return None
    gone = datetime.now(UTC).timestamp() - started_at
    return gone / share - gone


def _add_lists(blueprint: Blueprint, settings: Settings) -> None:
    @blueprint.get("/sdapi/v1/sd-models")
    def models() -> Response:
        return json_response(200, [each.listed() for each in CHECKPOINTS])

    @blueprint.post("/sdapi/v1/refresh-checkpoints")
    def refresh() -> Response:
        return json_response(200, None)

    @blueprint.get("/sdapi/v1/samplers")
    def samplers() -> Response:
        listed = [
            {"name": name, "aliases": aliases, "options": {}} for name, aliases in SAMPLERS.items()
        ]
        return json_response(200, listed)

    @blueprint.get("/sdapi/v1/schedulers")
    def schedulers() -> Response:
        listed = [
            {
                "name": name,
                "label": label,
                "aliases": None,
                "default_rho": -1.0,
                "need_inner_model": False,
            }
            for name, label in SCHEDULERS.items()
        ]
        return json_response(200, listed)

    @blueprint.get("/sdapi/v1/options")
    def options() -> Response:
        return json_response(200, settings.listed())

    @blueprint.post("/sdapi/v1/options")
    def change_options() -> Response:
        given = _body()
        if not isinstance(given, dict):
            raise InvalidError(("", "value is not a valid dict", "type_error.dict"))
        settings.change(given)
        return json_response(200, None)
