"""Text functions. Positions count from 1."""

from __future__ import annotations

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns
from tidemill.functions._arguments import number, optional

__all__ = [
    "ascii",
    "base64",
    "bit_length",
    "btrim",
    "char",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "decode",
    "elt",
    "encode",
    "endswith",
    "find_in_set",
    "format_number",
    "format_string",
    "ilike",
    "initcap",
    "instr",
    "is_valid_utf8",
    "lcase",
    "left",
    "length",
    "levenshtein",
    "like",
    "locate",
    "lower",
    "lpad",
    "ltrim",
    "make_valid_utf8",
    "mask",
    "octet_length",
    "overlay",
    "parse_url",
    "position",
    "printf",
    "quote",
    "regexp",
    "regexp_count",
    "regexp_extract",
    "regexp_extract_all",
    "regexp_instr",
    "regexp_like",
    "regexp_replace",
    "regexp_substr",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rlike",
    "rpad",
    "rtrim",
    "soundex",
    "space",
    "split",
    "split_part",
    "startswith",
    "substr",
    "substring",
    "substring_index",
    "to_binary",
    "to_char",
    "to_number",
    "to_varchar",
    "translate",
    "trim",
    "try_parse_url",
    "try_to_binary",
    "try_to_number",
    "try_url_decode",
    "try_validate_utf8",
    "ucase",
    "unbase64",
    "upper",
    "url_decode",
    "url_encode",
    "validate_utf8",
]


def ascii(col: ColumnOrName) -> Column:
    """The code of the first character."""
    return call("ascii", to_column(col))


def base64(col: ColumnOrName) -> Column:
    """Bytes as base64."""
    return call("base64", to_column(col))


def bit_length(col: ColumnOrName) -> Column:
    """The length in bits."""
    return call("bit_length", to_column(col))


def btrim(str: ColumnOrName, trim: ColumnOrName | None = None) -> Column:
    """Without spaces, or the characters of `trim`, at both ends."""
    return call("btrim", to_column(str), optional(to_column, trim))


def char(col: ColumnOrName) -> Column:
    """The character of a code."""
    return call("char", to_column(col))


def char_length(str: ColumnOrName) -> Column:
    """The length in characters."""
    return call("char_length", to_column(str))


def character_length(str: ColumnOrName) -> Column:
    """The length in characters."""
    return call("character_length", to_column(str))


def chr(n: ColumnOrName) -> Column:
    """The character of a code."""
    return call("chr", to_column(n))


def concat(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Texts, arrays or bytes one after the other; NULL if one is."""
    return call("concat", *to_columns(cols))


def concat_ws(sep: Column | str, *cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Texts with `sep` between them, NULLs left out."""
    return call("concat_ws", lit(sep), *to_columns(cols))


def contains(left: ColumnOrName, right: ColumnOrName) -> Column:
    """True when the right text is in the left."""
    return call("contains", to_column(left), to_column(right))


def decode(col: ColumnOrName, charset: Column | str) -> Column:
    """Bytes as text."""
    return call("decode", to_column(col), lit(charset))


def elt(*inputs: ColumnOrName | list[ColumnOrName]) -> Column:
    """The first argument says which of the others."""
    return call("elt", *to_columns(inputs))


def encode(col: ColumnOrName, charset: Column | str) -> Column:
    """Text as bytes."""
    return call("encode", to_column(col), lit(charset))


def endswith(str: ColumnOrName, suffix: ColumnOrName) -> Column:
    """True when the text ends with the other."""
    return call("endswith", to_column(str), to_column(suffix))


def find_in_set(str: ColumnOrName, str_array: ColumnOrName) -> Column:
    """The position in a list with commas, 0 when missing."""
    return call("find_in_set", to_column(str), to_column(str_array))


def format_number(col: ColumnOrName, d: Column | int) -> Column:
    """A number with thousands separators and `d` digits after the point."""
    return call("format_number", to_column(col), lit(d))


def format_string(format: Column | str, *cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Values put into a pattern of `printf`."""
    return call("format_string", lit(format), *to_columns(cols))


def ilike(str: ColumnOrName, pattern: ColumnOrName, escapeChar: Column | str | None = None) -> Column:
    """True for SQL's pattern, without regard to case."""
    return call("ilike", to_column(str), to_column(pattern), optional(lit, escapeChar))


def initcap(col: ColumnOrName) -> Column:
    """The first letter of each word in upper case."""
    return call("initcap", to_column(col))


def instr(str: ColumnOrName, substr: Column | str) -> Column:
    """The position of the first `substr`, 0 when missing."""
    return call("instr", to_column(str), lit(substr))


def is_valid_utf8(str: ColumnOrName) -> Column:
    """True when the bytes are UTF-8."""
    return call("is_valid_utf8", to_column(str))


def lcase(str: ColumnOrName) -> Column:
    """Text in lower case: another name of `lower`."""
    return call("lcase", to_column(str))


def left(str: ColumnOrName, len: ColumnOrName | int) -> Column:
    """The first characters."""
    return call("left", to_column(str), number(len))


def length(col: ColumnOrName) -> Column:
    """The length in characters, or bytes for binary."""
    return call("length", to_column(col))


def levenshtein(left: ColumnOrName, right: ColumnOrName, threshold: Column | int | None = None) -> Column:
    """How many changes of a character make one text the other."""
    return call("levenshtein", to_column(left), to_column(right), optional(lit, threshold))


def like(str: ColumnOrName, pattern: ColumnOrName, escapeChar: Column | str | None = None) -> Column:
    """True for SQL's pattern."""
    return call("like", to_column(str), to_column(pattern), optional(lit, escapeChar))


def locate(substr: Column | str, str: ColumnOrName, pos: Column | int = 1) -> Column:
    """The position of the first `substr` at or after `pos`, 0 when missing."""
    return call("locate", lit(substr), to_column(str), lit(pos))


def lower(col: ColumnOrName) -> Column:
    """Text in lower case."""
    return call("lower", to_column(col))


def lpad(col: ColumnOrName, len: Column | int, pad: Column | str) -> Column:
    """Filled up on the left to `len` characters, or cut to them."""
    return call("lpad", to_column(col), lit(len), lit(pad))


def ltrim(col: ColumnOrName, trim: ColumnOrName | None = None) -> Column:
    """Without spaces, or the characters of `trim`, on the left."""
    return call("ltrim", *_trimmed(col, trim))


def make_valid_utf8(str: ColumnOrName) -> Column:
    """The bytes as text; what is no UTF-8 becomes the replacement character."""
    return call("make_valid_utf8", to_column(str))


def mask(
    col: ColumnOrName,
    upperChar: ColumnOrName | None = None,
    lowerChar: ColumnOrName | None = None,
    digitChar: ColumnOrName | None = None,
    otherChar: ColumnOrName | None = None,
) -> Column:
    """Letters and digits replaced by X, x and n."""
    return call(
        "mask",
        to_column(col),
        optional(to_column, upperChar),
        optional(to_column, lowerChar),
        optional(to_column, digitChar),
        optional(to_column, otherChar),
    )


def octet_length(col: ColumnOrName) -> Column:
    """The length in bytes."""
    return call("octet_length", to_column(col))


def overlay(src: ColumnOrName, replace: ColumnOrName, pos: ColumnOrName | int, len: ColumnOrName | int = -1) -> Column:
    """With `len` characters from `pos` on replaced."""
    return call("overlay", to_column(src), to_column(replace), number(pos), number(len))


def parse_url(url: ColumnOrName, partToExtract: ColumnOrName, key: ColumnOrName | None = None) -> Column:
    """A part of a URL, such as HOST or QUERY."""
    return call("parse_url", to_column(url), to_column(partToExtract), optional(to_column, key))


def position(substr: ColumnOrName, str: ColumnOrName, start: ColumnOrName | None = None) -> Column:
    """The position of the first `substr`, 0 when missing."""
    return call("position", to_column(substr), to_column(str), optional(to_column, start))


def printf(format: ColumnOrName, *cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """Values put into a pattern of `printf`."""
    return call("printf", to_column(format), *to_columns(cols))


def quote(col: ColumnOrName) -> Column:
    """Text in single quotes, quotes in it escaped."""
    return call("quote", to_column(col))


def regexp(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """True where the regular expression is found."""
    return call("regexp", to_column(str), to_column(regexp))


def regexp_count(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """How often a regular expression is found."""
    return call("regexp_count", to_column(str), to_column(regexp))


def regexp_extract(str: ColumnOrName, pattern: Column | str, idx: Column | int) -> Column:
    """The group `idx` of the first match, empty when there is none."""
    return call("regexp_extract", to_column(str), lit(pattern), lit(idx))


def regexp_extract_all(str: ColumnOrName, regexp: ColumnOrName, idx: ColumnOrName | int | None = None) -> Column:
    """The group `idx` of every match, as an array."""
    return call("regexp_extract_all", to_column(str), to_column(regexp), optional(number, idx))


def regexp_instr(str: ColumnOrName, regexp: ColumnOrName, idx: ColumnOrName | int | None = None) -> Column:
    """The position of the first match, 0 when there is none."""
    return call("regexp_instr", to_column(str), to_column(regexp), optional(number, idx))


def regexp_like(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """True where the regular expression is found."""
    return call("regexp_like", to_column(str), to_column(regexp))


def regexp_replace(string: ColumnOrName, pattern: Column | str, replacement: Column | str) -> Column:
    """Every match replaced; ``$1`` is a group."""
    return call("regexp_replace", to_column(string), lit(pattern), lit(replacement))


def regexp_substr(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """The first match, NULL when there is none."""
    return call("regexp_substr", to_column(str), to_column(regexp))


def repeat(col: ColumnOrName, n: Column | int) -> Column:
    """The text `n` times."""
    return call("repeat", to_column(col), lit(n))


def replace(src: ColumnOrName, search: ColumnOrName, replace: ColumnOrName | None = None) -> Column:
    """Every `search` replaced, or left out."""
    return call("replace", to_column(src), to_column(search), optional(to_column, replace))


def reverse(col: ColumnOrName) -> Column:
    """Text or an array from its end to its start."""
    return call("reverse", to_column(col))


def right(str: ColumnOrName, len: ColumnOrName | int) -> Column:
    """The last characters."""
    return call("right", to_column(str), number(len))


def rlike(str: ColumnOrName, regexp: ColumnOrName) -> Column:
    """True where the regular expression is found."""
    return call("rlike", to_column(str), to_column(regexp))


def rpad(col: ColumnOrName, len: Column | int, pad: Column | str) -> Column:
    """Filled up on the right to `len` characters, or cut to them."""
    return call("rpad", to_column(col), lit(len), lit(pad))


def rtrim(col: ColumnOrName, trim: ColumnOrName | None = None) -> Column:
    """Without spaces, or the characters of `trim`, on the right."""
    return call("rtrim", *_trimmed(col, trim))


def soundex(col: ColumnOrName) -> Column:
    """The soundex code."""
    return call("soundex", to_column(col))


def space(n: ColumnOrName) -> Column:
    """That many spaces."""
    return call("space", to_column(n))


def split(str: ColumnOrName, pattern: Column | str, limit: Column | int = -1) -> Column:
    """Text cut at a regular expression, as an array of at most `limit` parts; -1 is any number."""
    more = () if isinstance(limit, int) and limit == -1 else (lit(limit),)
    return call("split", to_column(str), lit(pattern), *more)


def split_part(src: ColumnOrName, delimiter: ColumnOrName, partNum: ColumnOrName) -> Column:
    """One part of a text cut at `delimiter`, counted from 1, or from the end if negative."""
    return call("split_part", to_column(src), to_column(delimiter), to_column(partNum))


def startswith(str: ColumnOrName, prefix: ColumnOrName) -> Column:
    """True when the text starts with the other."""
    return call("startswith", to_column(str), to_column(prefix))


def substr(str: ColumnOrName, pos: ColumnOrName, len: ColumnOrName | None = None) -> Column:
    """Characters from `pos`, from the end if negative."""
    return call("substr", to_column(str), to_column(pos), optional(to_column, len))


def substring(str: ColumnOrName, pos: Column | int, len: Column | int) -> Column:
    """`len` characters from `pos`, from the end if negative."""
    return call("substring", to_column(str), lit(pos), lit(len))


def substring_index(str: ColumnOrName, delim: Column | str, count: Column | int) -> Column:
    """What stands before the `count`-th `delim`, or after it from the end if negative."""
    return call("substring_index", to_column(str), lit(delim), lit(count))


def to_binary(col: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text as bytes, from hex, utf-8 or base64."""
    return call("to_binary", to_column(col), optional(to_column, format))


def to_char(col: ColumnOrName, format: ColumnOrName) -> Column:
    """A number or time as text in a pattern."""
    return call("to_char", to_column(col), to_column(format))


def to_number(col: ColumnOrName, format: ColumnOrName) -> Column:
    """Text in a pattern as a decimal."""
    return call("to_number", to_column(col), to_column(format))


def to_varchar(col: ColumnOrName, format: ColumnOrName) -> Column:
    """A number or time as text in a pattern."""
    return call("to_varchar", to_column(col), to_column(format))


def translate(srcCol: ColumnOrName, matching: Column | str, replace: Column | str) -> Column:
    """Each character of `matching` replaced by the one at the same place in `replace`."""
    return call("translate", to_column(srcCol), lit(matching), lit(replace))


def trim(col: ColumnOrName, trim: ColumnOrName | None = None) -> Column:
    """Without spaces, or the characters of `trim`, at both ends."""
    return call("trim", *_trimmed(col, trim))


def _trimmed(col: ColumnOrName, trim: ColumnOrName | None) -> list[Column]:
    """The arguments of a trim: the characters to take away come first."""
    return [to_column(col)] if trim is None else [to_column(trim), to_column(col)]


def try_parse_url(url: ColumnOrName, partToExtract: ColumnOrName, key: ColumnOrName | None = None) -> Column:
    """A part of a URL, NULL where it is none."""
    return call("try_parse_url", to_column(url), to_column(partToExtract), optional(to_column, key))


def try_to_binary(col: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text as bytes, NULL where it cannot be read."""
    return call("try_to_binary", to_column(col), optional(to_column, format))


def try_to_number(col: ColumnOrName, format: ColumnOrName) -> Column:
    """Text in a pattern as a decimal, NULL where it cannot be read."""
    return call("try_to_number", to_column(col), to_column(format))


def try_url_decode(str: ColumnOrName) -> Column:
    """Text with ``%XX`` resolved, NULL where it cannot be."""
    return call("try_url_decode", to_column(str))


def try_validate_utf8(str: ColumnOrName) -> Column:
    """The bytes as text, NULL when they are no UTF-8."""
    return call("try_validate_utf8", to_column(str))


def ucase(str: ColumnOrName) -> Column:
    """Text in upper case: another name of `upper`."""
    return call("ucase", to_column(str))


def unbase64(col: ColumnOrName) -> Column:
    """Base64 as bytes."""
    return call("unbase64", to_column(col))


def upper(col: ColumnOrName) -> Column:
    """Text in upper case."""
    return call("upper", to_column(col))


def url_decode(str: ColumnOrName) -> Column:
    """Text with ``%XX`` resolved."""
    return call("url_decode", to_column(str))


def url_encode(str: ColumnOrName) -> Column:
    """Text fit for a URL."""
    return call("url_encode", to_column(str))


def validate_utf8(str: ColumnOrName) -> Column:
    """The bytes as text; bytes that are no UTF-8 fail the query."""
    return call("validate_utf8", to_column(str))
