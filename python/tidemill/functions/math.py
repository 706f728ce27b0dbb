"""Mathematical and bitwise functions."""

from __future__ import annotations

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns
from tidemill.functions._arguments import number, optional

__all__ = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bin",
    "bit_count",
    "bit_get",
    "bitwiseNOT",
    "bitwise_not",
    "bround",
    "cbrt",
    "ceil",
    "ceiling",
    "conv",
    "cos",
    "cosh",
    "cot",
    "csc",
    "degrees",
    "e",
    "exp",
    "expm1",
    "factorial",
    "floor",
    "getbit",
    "greatest",
    "hex",
    "hypot",
    "least",
    "ln",
    "log",
    "log1p",
    "log2",
    "log10",
    "negate",
    "negative",
    "pi",
    "pmod",
    "positive",
    "pow",
    "power",
    "radians",
    "rand",
    "randn",
    "rint",
    "round",
    "sec",
    "shiftLeft",
    "shiftRight",
    "shiftleft",
    "shiftright",
    "shiftrightunsigned",
    "sign",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "try_add",
    "try_divide",
    "try_mod",
    "try_multiply",
    "try_subtract",
    "unhex",
    "width_bucket",
]


def abs(col: ColumnOrName) -> Column:
    """The value without its sign."""
    return call("abs", to_column(col))


def acos(col: ColumnOrName) -> Column:
    """The angle of a cosine, in radians."""
    return call("acos", to_column(col))


def acosh(col: ColumnOrName) -> Column:
    """The inverse hyperbolic cosine."""
    return call("acosh", to_column(col))


def asin(col: ColumnOrName) -> Column:
    """The angle of a sine, in radians."""
    return call("asin", to_column(col))


def asinh(col: ColumnOrName) -> Column:
    """The inverse hyperbolic sine."""
    return call("asinh", to_column(col))


def atan(col: ColumnOrName) -> Column:
    """The angle of a tangent, in radians."""
    return call("atan", to_column(col))


def atan2(col1: ColumnOrName | int, col2: ColumnOrName | int) -> Column:
    """The angle of the point (col2, col1), in radians."""
    return call("atan2", number(col1), number(col2))


def atanh(col: ColumnOrName) -> Column:
    """The inverse hyperbolic tangent."""
    return call("atanh", to_column(col))


def bin(col: ColumnOrName) -> Column:
    """A whole number in binary digits."""
    return call("bin", to_column(col))


def bit_count(col: ColumnOrName) -> Column:
    """How many bits are set."""
    return call("bit_count", to_column(col))


def bit_get(col: ColumnOrName, pos: ColumnOrName | int) -> Column:
    """The bit at a position, counted from the right and 0."""
    return call("bit_get", to_column(col), number(pos))


def bitwiseNOT(col: ColumnOrName) -> Column:
    """Every bit turned over: another name of `bitwise_not`."""
    return bitwise_not(col)


def bitwise_not(col: ColumnOrName) -> Column:
    """Every bit turned over."""
    return call("bitwise_not", to_column(col))


def bround(col: ColumnOrName, scale: Column | int | None = None) -> Column:
    """Rounded to `scale` digits, a half to the even neighbour."""
    return call("bround", to_column(col), optional(lit, scale))


def cbrt(col: ColumnOrName) -> Column:
    """The cube root."""
    return call("cbrt", to_column(col))


def ceil(col: ColumnOrName, scale: Column | int | None = None) -> Column:
    """The next whole number upwards, or with `scale` digits."""
    return call("ceil", to_column(col), optional(lit, scale))


def ceiling(col: ColumnOrName, scale: Column | int | None = None) -> Column:
    """The next whole number upwards: another name of `ceil`."""
    return call("ceil", to_column(col), optional(lit, scale))


def conv(col: ColumnOrName, fromBase: Column | int, toBase: Column | int) -> Column:
    """Digits of one base as digits of another."""
    return call("conv", to_column(col), lit(fromBase), lit(toBase))


def cos(col: ColumnOrName) -> Column:
    """The cosine of an angle in radians."""
    return call("cos", to_column(col))


def cosh(col: ColumnOrName) -> Column:
    """The hyperbolic cosine."""
    return call("cosh", to_column(col))


def cot(col: ColumnOrName) -> Column:
    """The cotangent of an angle in radians."""
    return call("cot", to_column(col))


def csc(col: ColumnOrName) -> Column:
    """The cosecant of an angle in radians."""
    return call("csc", to_column(col))


def degrees(col: ColumnOrName) -> Column:
    """Radians as degrees."""
    return call("degrees", to_column(col))


def e() -> Column:
    """Euler's number."""
    return call("e")


def exp(col: ColumnOrName) -> Column:
    """e to the power of the value."""
    return call("exp", to_column(col))


def expm1(col: ColumnOrName) -> Column:
    """`exp` less 1, exact near 0."""
    return call("expm1", to_column(col))


def factorial(col: ColumnOrName) -> Column:
    """The factorial, of 0 to 20."""
    return call("factorial", to_column(col))


def floor(col: ColumnOrName, scale: Column | int | None = None) -> Column:
    """The next whole number downwards, or with `scale` digits."""
    return call("floor", to_column(col), optional(lit, scale))


def getbit(col: ColumnOrName, pos: ColumnOrName | int) -> Column:
    """The bit at a position, counted from the right and from 0."""
    return call("getbit", to_column(col), number(pos))


def greatest(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The greatest of the values, NULLs left out."""
    return call("greatest", *to_columns(cols))


def hex(col: ColumnOrName) -> Column:
    """A number, text or bytes in hexadecimal digits."""
    return call("hex", to_column(col))


def hypot(col1: ColumnOrName | int, col2: ColumnOrName | int) -> Column:
    """The square root of the sum of two squares."""
    return call("hypot", number(col1), number(col2))


def least(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The least of the values, NULLs left out."""
    return call("least", *to_columns(cols))


def ln(col: ColumnOrName) -> Column:
    """The natural logarithm; NULL for 0 and less."""
    return call("ln", to_column(col))


def log(arg1: ColumnOrName | float, arg2: ColumnOrName | None = None) -> Column:
    """The logarithm of `arg2` to base `arg1`; of one argument, the natural logarithm."""
    if arg2 is None:
        return call("ln", number(arg1))
    return call("log", number(arg1), to_column(arg2))


def log10(col: ColumnOrName) -> Column:
    """The logarithm to base 10."""
    return call("log10", to_column(col))


def log1p(col: ColumnOrName) -> Column:
    """The natural logarithm of the value and 1, exact near 0."""
    return call("log1p", to_column(col))


def log2(col: ColumnOrName) -> Column:
    """The logarithm to base 2."""
    return call("log2", to_column(col))


def negate(col: ColumnOrName) -> Column:
    """Minus the value."""
    return call("negative", to_column(col))


def negative(col: ColumnOrName) -> Column:
    """The value with its sign turned."""
    return call("negative", to_column(col))


def pi() -> Column:
    """The circle's number."""
    return call("pi")


def pmod(dividend: ColumnOrName | int, divisor: ColumnOrName | int) -> Column:
    """The remainder, never negative."""
    return call("pmod", number(dividend), number(divisor))


def positive(col: ColumnOrName) -> Column:
    """The value itself."""
    return call("positive", to_column(col))


def pow(col1: ColumnOrName | int, col2: ColumnOrName | int) -> Column:
    """The first to the power of the second."""
    return call("power", number(col1), number(col2))


def power(col1: ColumnOrName | int, col2: ColumnOrName | int) -> Column:
    """The first to the power of the second."""
    return call("power", number(col1), number(col2))


def radians(col: ColumnOrName) -> Column:
    """Degrees as radians."""
    return call("radians", to_column(col))


def rand(seed: Column | int | None = None) -> Column:
    """A random number from 0 to 1."""
    return call("rand", optional(lit, seed))


def randn(seed: Column | int | None = None) -> Column:
    """A random number of the standard normal distribution."""
    return call("randn", optional(lit, seed))


def rint(col: ColumnOrName) -> Column:
    """The nearest whole number as double, a half to the even neighbour."""
    return call("rint", to_column(col))


def round(col: ColumnOrName, scale: Column | int | None = None) -> Column:
    """Rounded to `scale` digits, a half away from 0."""
    return call("round", to_column(col), optional(lit, scale))


def sec(col: ColumnOrName) -> Column:
    """The secant of an angle in radians."""
    return call("sec", to_column(col))


def shiftLeft(col: ColumnOrName, numBits: int) -> Column:
    """The bits moved to the left: another name of `shiftleft`."""
    return shiftleft(col, numBits)


def shiftRight(col: ColumnOrName, numBits: int) -> Column:
    """The bits moved to the right: another name of `shiftright`."""
    return shiftright(col, numBits)


def shiftleft(col: ColumnOrName, numBits: Column | int) -> Column:
    """The bits moved to the left."""
    return call("shiftleft", to_column(col), lit(numBits))


def shiftright(col: ColumnOrName, numBits: Column | int) -> Column:
    """The bits moved to the right, keeping the sign."""
    return call("shiftright", to_column(col), lit(numBits))


def shiftrightunsigned(col: ColumnOrName, numBits: Column | int) -> Column:
    """The bits moved to the right, zeros coming in."""
    return call("shiftrightunsigned", to_column(col), lit(numBits))


def sign(col: ColumnOrName) -> Column:
    """-1, 0 or 1."""
    return call("sign", to_column(col))


def signum(col: ColumnOrName) -> Column:
    """-1, 0 or 1."""
    return call("signum", to_column(col))


def sin(col: ColumnOrName) -> Column:
    """The sine of an angle in radians."""
    return call("sin", to_column(col))


def sinh(col: ColumnOrName) -> Column:
    """The hyperbolic sine."""
    return call("sinh", to_column(col))


def sqrt(col: ColumnOrName) -> Column:
    """The square root."""
    return call("sqrt", to_column(col))


def tan(col: ColumnOrName) -> Column:
    """The tangent of an angle in radians."""
    return call("tan", to_column(col))


def tanh(col: ColumnOrName) -> Column:
    """The hyperbolic tangent."""
    return call("tanh", to_column(col))


def try_add(left: ColumnOrName, right: ColumnOrName) -> Column:
    """The sum, NULL where it overflows."""
    return call("try_add", to_column(left), to_column(right))


def try_divide(left: ColumnOrName, right: ColumnOrName) -> Column:
    """The quotient, NULL for a division by 0."""
    return call("try_divide", to_column(left), to_column(right))


def try_mod(left: ColumnOrName, right: ColumnOrName) -> Column:
    """The remainder, NULL for a division by 0."""
    return call("try_mod", to_column(left), to_column(right))


def try_multiply(left: ColumnOrName, right: ColumnOrName) -> Column:
    """The product, NULL where it overflows."""
    return call("try_multiply", to_column(left), to_column(right))


def try_subtract(left: ColumnOrName, right: ColumnOrName) -> Column:
    """The difference, NULL where it overflows."""
    return call("try_subtract", to_column(left), to_column(right))


def unhex(col: ColumnOrName) -> Column:
    """Hexadecimal digits as bytes."""
    return call("unhex", to_column(col))


def width_bucket(v: ColumnOrName, min: ColumnOrName, max: ColumnOrName, numBucket: ColumnOrName | int) -> Column:
    """The bucket of an even histogram the value falls into."""
    return call("width_bucket", to_column(v), to_column(min), to_column(max), number(numBucket))
