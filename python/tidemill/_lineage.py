"""Finds which input a column taken from a frame means: ``a.join(b, a.id == b.id).select(b.v)``.

The engine finds columns by name and qualifier (a table's name or an alias). A column node that remembers its frame is
turned into such a name here: bare where one input can only be meant, qualified where a join stands in between. A side
of a join that has no qualifier of its own, or the same one as the other side, is given one by `sides`.
"""

from __future__ import annotations

from tidemill.column import FRAME, Node, rewritten
from tidemill.errors import AnalysisException

_PASSING = {"filter", "sort", "limit", "watermark", "deduplicate", "distinct", "lateral_view", "window_table", "drop"}
"""Relations whose columns are those of their input, under the same names and qualifiers."""
_OURS = "__side_"
"""How qualifiers begin that `sides` gives."""


def settled(expression: Node, *inputs: Node) -> Node:
    """The expression with every column that remembers its frame as a plain name over `inputs`.

    Raises:
        AnalysisException: a column of a frame that is not among the inputs, or that is no longer there.
    """

    def change(node: Node) -> Node | None:
        if FRAME not in node:
            return None
        path = _path_over(node["name"], node[FRAME], inputs)
        column = {"node": "column", "name": _name_by(path, node["name"], node[FRAME], len(inputs))}
        if _before_watermark(path, node["name"]):
            return {"node": "cast", "input": column, "data_type": "timestamp"}
        return column

    return rewritten(expression, change)


def sides(left: Node, right: Node) -> tuple[Node, Node]:
    """The two inputs of a join, each under a qualifier of its own where names would not tell them apart."""
    number = 1 + _automatic(left) + _automatic(right)
    left_names, right_names = qualifiers(left), qualifiers(right)
    if not left_names:
        left, number = _aliased(left, number), number + 1
    if not right_names or (left_names & right_names and len(right_names) == 1):
        right = _aliased(right, number)
    return left, right


def qualifiers(relation: Node) -> frozenset[str]:
    """The tables and aliases by which columns of a relation can be named."""
    match relation["node"]:
        case "alias":
            return frozenset([relation["name"]])
        case "table":
            return frozenset([relation["name"][-1]])
        case "join":
            left = qualifiers(relation["left"])
            return left if relation["kind"] in ("left_semi", "left_anti") else left | qualifiers(relation["right"])
        case "project":
            plain = any(item["node"] in ("column", "star") for item in relation["list"])
            return qualifiers(relation["input"]) if plain else frozenset()
        case "with_columns" | "rename" | "to_columns":
            return qualifiers(relation["input"])
        case kind if kind in _PASSING:
            return qualifiers(relation["input"])
        case _:
            return frozenset()


def qualifiers_in_order(relation: Node) -> list[str]:
    """The qualifiers of a relation's columns, from left to right."""
    if relation["node"] == "join":
        left = qualifiers_in_order(relation["left"])
        semi = relation["kind"] in ("left_semi", "left_anti")
        return left if semi else left + qualifiers_in_order(relation["right"])
    if relation["node"] in ("alias", "table") or "input" not in relation:
        return sorted(qualifiers(relation))
    return qualifiers_in_order(relation["input"])


def _path_over(name: list[str], frame: Node, inputs: tuple[Node, ...]) -> list[Node]:
    """The relations from the input that has the column down to its frame."""
    paths = [path for path in (_path(relation, frame) for relation in inputs) if path]
    if not paths:
        raise AnalysisException(
            f"the column `{'.'.join(name)}` belongs to another DataFrame than the ones it is used with",
            "CANNOT_RESOLVE_DATAFRAME_COLUMN",
            {"name": ".".join(name)},
        )
    lengths = [sum(not _is_ours(node) for node in path) for path in paths]
    nearest = [path for path, length in zip(paths, lengths, strict=True) if length == min(lengths)]
    if len(nearest) > 1:
        raise AnalysisException(
            f"the column `{'.'.join(name)}` could be of either side: both come from the same DataFrame\n"
            '  = help: give each side an alias, and write F.col("alias.column")',
            "AMBIGUOUS_COLUMN_REFERENCE",
            {"name": ".".join(name)},
        )
    path = nearest[0]
    _expect_kept(name, path)
    return path


def _before_watermark(path: list[Node], name: list[str]) -> bool:
    """True for a column taken from a frame before a watermark was set on it: to Spark it has none, and no more
    has what is cast to its own type."""
    declared = (node for node in path[:-1] if node["node"] == "watermark")
    return any(node["column"].lower() == ".".join(name).lower() for node in declared)


def _name_by(path: list[Node], name: list[str], frame: Node, inputs: int) -> list[str]:
    """The name by which the input at the start of the path finds the column."""
    joins = [at for at, node in enumerate(path) if node["node"] == "join"]
    if not joins and inputs == 1:
        return name
    below = path[joins[-1] + 1 :] if joins else path
    alias = next((node["name"] for node in below if node["node"] == "alias"), None)
    qualifier = alias or _qualifier(frame, name[0])
    return [qualifier, *name] if qualifier else name


def _path(relation: Node, frame: Node) -> list[Node] | None:
    """The relations from `relation` down to `frame`, both included, on the shortest way."""
    if relation is frame:
        return [relation]
    found = [path for path in (_path(child, frame) for child in _inputs(relation)) if path]
    return [relation, *min(found, key=len)] if found else None


def _inputs(relation: Node) -> list[Node]:
    match relation["node"]:
        case "join":
            semi = relation["kind"] in ("left_semi", "left_anti")
            return [relation["left"]] if semi else [relation["left"], relation["right"]]
        case "union":
            return relation["inputs"][:1]
        case _:
            return [relation["input"]] if "input" in relation else []


def _expect_kept(name: list[str], path: list[Node]) -> None:
    """A column that a relation above its frame replaced or left out can no longer be named."""
    for relation in path[:-1]:
        if not _keeps(relation, name):
            raise AnalysisException(
                f"the column `{'.'.join(name)}` of the earlier DataFrame is no longer there\n"
                f'  = help: write F.col("{".".join(name)}") for the column of that name as it is now',
                "CANNOT_RESOLVE_DATAFRAME_COLUMN",
                {"name": ".".join(name)},
            )


def _keeps(relation: Node, name: list[str]) -> bool:
    wanted = name[0].lower()
    match relation["node"]:
        case "with_columns":
            return all(new.lower() != wanted for new, _ in relation["columns"])
        case "rename":
            return all(wanted not in (old.lower(), new.lower()) for old, new in relation["columns"])
        case "project":
            return any(_is_plain(item, wanted) for item in relation["list"])
        case "aggregate":
            return any(_is_plain(item, wanted) for item in relation["groups"])
        case "to_columns" | "sql" | "set_operation" | "process" | "map_rows":
            return False
        case _:
            return True


def _is_plain(item: Node, wanted: str) -> bool:
    if item["node"] == "star":
        return all(name.lower() != wanted for name in item.get("except", []))
    return item["node"] == "column" and item["name"][-1].lower() == wanted


def _qualifier(relation: Node, name: str) -> str | None:
    """The qualifier of a relation's column `name`, where it has one."""
    match relation["node"]:
        case "alias":
            return relation["name"]
        case "table":
            return relation["name"][-1]
        case "project":
            for item in relation["list"]:
                if item["node"] == "column" and item["name"][-1].lower() == name.lower():
                    return item["name"][-2] if len(item["name"]) > 1 else _qualifier(relation["input"], name)
            stars = any(item["node"] == "star" for item in relation["list"])
            return _qualifier(relation["input"], name) if stars else None
        case "with_columns":
            computed = any(new.lower() == name.lower() for new, _ in relation["columns"])
            return None if computed else _qualifier(relation["input"], name)
        case "rename" | "to_columns":
            return _qualifier(relation["input"], name)
        case kind if kind in _PASSING:
            return _qualifier(relation["input"], name)
        case _:
            return None


def _aliased(relation: Node, number: int) -> Node:
    return {"node": "alias", "input": relation, "name": f"{_OURS}{number}"}


def _is_ours(relation: Node) -> bool:
    return relation["node"] == "alias" and relation["name"].startswith(_OURS)


def _automatic(relation: Node) -> int:
    """How many qualifiers of ours a relation has."""
    below = [relation[key] for key in ("input", "left", "right") if key in relation] + relation.get("inputs", [])
    return int(_is_ours(relation)) + sum(map(_automatic, below))
