"""The pipeline of a seed."""

from __future__ import annotations

import random
from typing import Any

from .maker import Maker
from .rows import Rows
from .shapes import SHAPES


def draw_pipeline(
    seed: int, only: str | None = None, skip: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[str]]:
    """The case of a seed, always the same one, without what is expected of it; and the parts of its query that
    can be left out with `skip`. `only` draws from these shapes."""
    draw = random.Random(seed)
    shapes = [shape for shape in SHAPES if only is None or shape[0] in only.split(",")]
    name, function, _ = draw.choices(shapes, [shape[2] for shape in shapes])[0]
    make = Maker(draw, Rows(draw, wild=draw.random() < 0.04), skip=skip)
    return make.case(f"random_{name}_{seed}", function(make)), make.parts
