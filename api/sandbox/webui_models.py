"""What the sandbox's WebUI has installed: checkpoints, samplers, and its settings."""

import hashlib
import threading
from dataclasses import dataclass
from typing import Any

from api.sandbox.webui_errors import WebuiError

SAMPLERS = {
    "DPM++ 2M": ["k_dpmpp_2m"],
    "DPM++ SDE": ["k_dpmpp_sde"],
    "DPM++ 2M SDE": ["k_dpmpp_2m_sde"],
    "Euler a": ["k_euler_a", "k_euler_ancestral"],
    "Euler": ["k_euler"],
    "LMS": ["k_lms"],
    "Heun": ["k_heun"],
    "DDIM": ["ddim"],
    "UniPC": ["unipc"],
    "LCM": ["k_lcm"],
}
SCHEDULERS = {
    "automatic": "Automatic",
    "uniform": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "sgm_uniform": "SGM Uniform",
}
FORMATS = ("png", "jpg", "jpeg", "webp")


@dataclass(frozen=True)
class Checkpoint:
    """One model, with the names under which it can be asked for."""

    name: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"sandbox {self.name}".encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        return self.sha256[:10]

    @property
    def file(self) -> str:
        return f"{self.name}.safetensors"

    @property
    def title(self) -> str:
        return f"{self.file} [{self.short_hash}]"

    def is_called(self, name: str) -> bool:
        """Whether this is one of its full names."""
        return name in (self.name, self.file, self.title, self.short_hash, self.sha256)

    def listed(self) -> dict[str, Any]:
        """As `sd-models` shows it."""
        return {
            "title": self.title,
            "model_name": self.name,
            "hash": self.short_hash,
            "sha256": self.sha256,
            "filename": f"/models/Stable-diffusion/{self.file}",
            "config": None,
        }


CHECKPOINTS = tuple(
    Checkpoint(name) for name in ("realisticVision_v40", "deliberate_v2", "dreamshaper_7")
)


def find(name: str) -> Checkpoint | None:
    """The checkpoint that a name means. A part of a title will do, as it does there."""
    exact = next((each for each in CHECKPOINTS if each.is_called(name)), None)
    if exact or not name:
        return exact
    bare = name.partition(" [")[0]
    parts = [each for each in CHECKPOINTS if name in each.title or bare in each.title]
    return min(parts, key=lambda each: len(each.title), default=None)


class Settings:
    """The settings that can be asked for and changed over HTTP, with the loaded checkpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded = CHECKPOINTS[0]
        self._values: dict[str, Any] = {
            "samples_format": "png",
            "jpeg_quality": 80,
            "return_grid": True,
            "grid_only_if_multiple": True,
            "live_previews_enable": True,
            "CLIP_stop_at_last_layers": 1,
            "sd_vae": "Automatic",
        }

    @property
    def loaded(self) -> Checkpoint:
        with self._lock:
            return self._loaded

    def load(self, checkpoint: Checkpoint) -> None:
        with self._lock:
            self._loaded = checkpoint

    def value(self, name: str) -> Any:
        with self._lock:
            return self._values[name]

    def listed(self) -> dict[str, Any]:
        with self._lock:
            return {
                **self._values,
                "sd_model_checkpoint": self._loaded.title,
                "sd_checkpoint_hash": self._loaded.sha256,
            }

    def change(self, given: dict[str, Any]) -> None:
        """Set some; an unknown checkpoint is an error here, unlike in a request to draw."""
        values = dict(given)
        checkpoint = values.pop("sd_model_checkpoint", None)
        found = find(checkpoint) if isinstance(checkpoint, str) else None
        if checkpoint is not None and found is None:
            raise WebuiError(500, "RuntimeError", errors=f"model {checkpoint!r} not found")
        for name, value in values.items():
            if name not in self._values:
                raise WebuiError(500, "KeyError", errors=repr(name))
            if type(value) is not type(self._values[name]):
                raise WebuiError(500, "ValueError", errors=f"{name} cannot be {value!r}")
        if values.get("samples_format", "png").lower() not in FORMATS:
            raise WebuiError(500, "ValueError", errors="samples_format is png, jpg or webp")
        with self._lock:
            self._values.update(values)
            self._loaded = found or self._loaded
