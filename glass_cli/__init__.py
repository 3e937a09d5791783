"""glass: align flow and diffusion models at inference time.

    import glass_cli as glass

    model, clip = glass.load_model("emoji"), glass.load_reward("clip")
    result = glass.draw(model, "a photo of a red apple and a blue car", reward=clip, calls=20)
    result.images[result.best].save("apple_and_car.png")

Names are imported when they are first used: `import glass_cli` itself imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from glass_cli.common.version import __version__ as __version__

if TYPE_CHECKING:
    from glass_cli.callback import SteeringCallback
    from glass_cli.common.errors import GlassError
    from glass_cli.engine.library import Drawing, draw, load_model, load_reward
    from glass_cli.method.budget import share_calls
    from glass_cli.method.flow import Flow, Sampler
    from glass_cli.method.glass import Glass
    from glass_cli.method.noise import ParticleNoise
    from glass_cli.method.ode import Ode
    from glass_cli.method.sde import Sde
    from glass_cli.scheduler import GlassScheduler
    from glass_cli.steering.base import Steering
    from glass_cli.steering.feynman_kac import FeynmanKac
    from glass_cli.steering.independent import BestOfN, NoSteering
    from glass_cli.steering.loop import steer
    from glass_cli.steering.state import Step

__all__ = [
    "BestOfN",
    "Drawing",
    "FeynmanKac",
    "Flow",
    "Glass",
    "GlassError",
    "GlassScheduler",
    "NoSteering",
    "Ode",
    "ParticleNoise",
    "Sampler",
    "Sde",
    "Steering",
    "SteeringCallback",
    "Step",
    "draw",
    "load_model",
    "load_reward",
    "share_calls",
    "steer",
]

_MODULES = {
    "callback": ["SteeringCallback"],
    "common.errors": ["GlassError"],
    "engine.library": ["Drawing", "draw", "load_model", "load_reward"],
    "method.budget": ["share_calls"],
    "method.flow": ["Flow", "Sampler"],
    "method.glass": ["Glass"],
    "method.noise": ["ParticleNoise"],
    "method.ode": ["Ode"],
    "method.sde": ["Sde"],
    "scheduler": ["GlassScheduler"],
    "steering.base": ["Steering"],
    "steering.feynman_kac": ["FeynmanKac"],
    "steering.independent": ["BestOfN", "NoSteering"],
    "steering.loop": ["steer"],
    "steering.state": ["Step"],
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
