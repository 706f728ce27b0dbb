"""Expressions as people read them: what `repr` of a column shows. Never read by the engine."""

from __future__ import annotations

from typing import Any

_SYMBOLS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "integer_divide": "div",
    "modulo": "%",
    "equal": "=",
    "not_equal": "!=",
    "null_safe_equal": "<=>",
    "less": "<",
    "less_or_equal": "<=",
    "greater": ">",
    "greater_or_equal": ">=",
    "and": "AND",
    "or": "OR",
    "bit_and": "&",
    "bit_or": "|",
    "bit_xor": "^",
    "shift_left": "<<",
    "shift_right": ">>",
    "concat": "||",
}


def sql_of(node: dict[str, Any]) -> str:
    """An expression of the plan as SQL-like text."""
    match node["node"]:
        case "column":
            return ".".join(node["name"])
        case "star":
            return ".".join([*node.get("qualifier", []), "*"])
        case "literal":
            return "NULL" if node["text"] is None else node["text"]
        case "call":
            distinct = "DISTINCT " if node.get("distinct") else ""
            return f"{node['name']}({distinct}{_list(node['arguments'])})"
        case "binary":
            return f"({sql_of(node['left'])} {_SYMBOLS[node['operator']]} {sql_of(node['right'])})"
        case "cast":
            word = "TRY_CAST" if node.get("try_cast") else "CAST"
            return f"{word}({sql_of(node['input'])} AS {node['data_type'].upper()})"
        case "case":
            branches = "".join(f" WHEN {sql_of(when)} THEN {sql_of(then)}" for when, then in node["branches"])
            otherwise = f" ELSE {sql_of(node['otherwise'])}" if node.get("otherwise") else ""
            return f"CASE{branches}{otherwise} END"
        case "in_list":
            return f"({sql_of(node['input'])} IN ({_list(node['list'])}))"
        case "alias":
            return f"{sql_of(node['input'])} AS {', '.join(node['names'])}"
        case "field":
            return f"{sql_of(node['input'])}.{node['field']}"
        case "index":
            return f"{sql_of(node['input'])}[{sql_of(node['index'])}]"
        case "lambda":
            return f"({', '.join(node['parameters'])}) -> {sql_of(node['body'])}"
        case "over":
            return f"{sql_of(node['function'])} OVER (..)"
        case _:
            return "(..)"


def _list(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(map(sql_of, nodes))
