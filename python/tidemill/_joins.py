"""Names of joins: Spark's spellings and the plan's."""

from __future__ import annotations

from tidemill.errors import AnalysisException

JOIN_KINDS = {
    "inner": "inner",
    "cross": "cross",
    "outer": "full_outer",
    "full": "full_outer",
    "fullouter": "full_outer",
    "left": "left_outer",
    "leftouter": "left_outer",
    "right": "right_outer",
    "rightouter": "right_outer",
    "semi": "left_semi",
    "leftsemi": "left_semi",
    "anti": "left_anti",
    "leftanti": "left_anti",
}
"""Names of joins without their underscores, and the kind each means."""


def join_kind(how: str | None) -> str:
    """The plan's word for a join.

    Raises:
        AnalysisException: there is no such join.
    """
    kind = JOIN_KINDS.get((how or "inner").lower().replace("_", ""))
    if kind is None:
        known = ["inner", "left", "right", "full", "left_semi", "left_anti", "cross"]
        raise AnalysisException(
            f"there is no join of kind `{how}`\n  = help: kinds: {', '.join(known)}",
            "UNSUPPORTED_JOIN_TYPE",
            {"typ": str(how)},
        )
    return kind
