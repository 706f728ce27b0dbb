"""Options of a data source."""

from __future__ import annotations

from collections import UserDict
from typing import Any


class CaseInsensitiveDict(UserDict):
    """Texts by names that may be written in any case."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key.lower(), value)

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key.lower())

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(key.lower())

    def __repr__(self) -> str:
        # values may be secrets
        return f"<options {', '.join(sorted(self.data))}>"
