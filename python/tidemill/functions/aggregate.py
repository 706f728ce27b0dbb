"""Aggregate functions: one value from the rows of a group."""

from __future__ import annotations

from typing import Any

from tidemill.column import Column, ColumnOrName, call, lit, to_column, to_columns
from tidemill.functions._arguments import optional

__all__ = [
    "any_value",
    "approxCountDistinct",
    "approx_count_distinct",
    "approx_percentile",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bitmap_and_agg",
    "bitmap_construct_agg",
    "bitmap_or_agg",
    "bool_and",
    "bool_or",
    "collect_list",
    "collect_set",
    "collect_union",
    "corr",
    "count",
    "countDistinct",
    "count_distinct",
    "count_if",
    "count_min_sketch",
    "covar_pop",
    "covar_samp",
    "every",
    "first",
    "first_value",
    "grouping",
    "grouping_id",
    "histogram_numeric",
    "hll_sketch_agg",
    "hll_union_agg",
    "kurtosis",
    "last",
    "last_value",
    "listagg",
    "listagg_distinct",
    "max",
    "max_by",
    "mean",
    "median",
    "min",
    "min_by",
    "mode",
    "percentile",
    "percentile_approx",
    "product",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "skewness",
    "some",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "string_agg_distinct",
    "sum",
    "sumDistinct",
    "sum_distinct",
    "try_avg",
    "try_sum",
    "var_pop",
    "var_samp",
    "variance",
]


def any_value(col: ColumnOrName, ignoreNulls: bool | Column | None = None) -> Column:
    """Some value of the group."""
    return _ordered("any_value", col, ignoreNulls)


def approxCountDistinct(col: ColumnOrName, rsd: float | None = None) -> Column:
    """How many different values there are, about: another name of `approx_count_distinct`."""
    return approx_count_distinct(col, rsd)


def approx_count_distinct(col: ColumnOrName, rsd: Column | float | None = None) -> Column:
    """How many different values there are, about; `rsd` is the relative error allowed (default 0.05)."""
    return call("approx_count_distinct", to_column(col), optional(lit, rsd))


def approx_percentile(col: ColumnOrName, percentage: Any, accuracy: Column | int = 10000) -> Column:
    """A percentile, about: another name of `percentile_approx`."""
    return call("approx_percentile", to_column(col), lit(percentage), lit(accuracy))


def array_agg(col: ColumnOrName) -> Column:
    """The values as an array, NULLs left out."""
    return call("collect_list", to_column(col))


def avg(col: ColumnOrName) -> Column:
    """The mean; decimal for decimals, double otherwise."""
    return call("avg", to_column(col))


def bit_and(col: ColumnOrName) -> Column:
    """The bits set in all values."""
    return call("bit_and", to_column(col))


def bit_or(col: ColumnOrName) -> Column:
    """The bits set in any value."""
    return call("bit_or", to_column(col))


def bitmap_and_agg(col: ColumnOrName) -> Column:
    """The bits set in all bitmaps."""
    return call("bitmap_and_agg", to_column(col))


def bitmap_construct_agg(col: ColumnOrName) -> Column:
    """A bitmap with the bits of all positions set."""
    return call("bitmap_construct_agg", to_column(col))


def bitmap_or_agg(col: ColumnOrName) -> Column:
    """The bits set in any bitmap."""
    return call("bitmap_or_agg", to_column(col))


def bit_xor(col: ColumnOrName) -> Column:
    """The bits set in an odd number of values."""
    return call("bit_xor", to_column(col))


def bool_and(col: ColumnOrName) -> Column:
    """True when every value is."""
    return call("bool_and", to_column(col))


def bool_or(col: ColumnOrName) -> Column:
    """True when any value is."""
    return call("bool_or", to_column(col))


def collect_list(col: ColumnOrName) -> Column:
    """The values as an array in order of arrival, NULLs left out."""
    return call("collect_list", to_column(col))


def collect_set(col: ColumnOrName) -> Column:
    """The different values as an array, NULLs left out."""
    return call("collect_set", to_column(col))


def collect_union(col: ColumnOrName) -> Column:
    """The different elements of arrays as one array, NULLs left out."""
    return call("collect_union", to_column(col))


def corr(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """Pearson's correlation of two columns."""
    return call("corr", to_column(col1), to_column(col2))


def count(col: ColumnOrName) -> Column:
    """How many rows have a value; ``count("*")`` counts all rows."""
    return call("count", to_column(col))


def countDistinct(col: ColumnOrName, *cols: ColumnOrName) -> Column:
    """How many different values there are, exactly: another name of `count_distinct`."""
    return count_distinct(col, *cols)


def count_distinct(col: ColumnOrName, *cols: ColumnOrName) -> Column:
    """How many different values (or combinations of values, none of them NULL) there are, exactly.

    Spark refuses this on a stream; here it is exact there too, and state grows with the number of values.
    """
    return call("count", to_column(col), *map(to_column, cols), distinct=True)


def count_if(col: ColumnOrName) -> Column:
    """How many values are true."""
    return call("count_if", to_column(col))


def count_min_sketch(col: ColumnOrName, eps: Column | float, confidence: Column | float, seed: Column | int) -> Column:
    """A count-min sketch as bytes that Spark's ``CountMinSketch`` reads. Unlike in PySpark the seed is not optional."""
    return call("count_min_sketch", to_column(col), lit(eps), lit(confidence), lit(seed))


def covar_pop(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The covariance of a population."""
    return call("covar_pop", to_column(col1), to_column(col2))


def covar_samp(col1: ColumnOrName, col2: ColumnOrName) -> Column:
    """The covariance of a sample."""
    return call("covar_samp", to_column(col1), to_column(col2))


def every(col: ColumnOrName) -> Column:
    """True when every value is: another name of `bool_and`."""
    return call("every", to_column(col))


def first(col: ColumnOrName, ignorenulls: bool = False) -> Column:
    """The first value in order of arrival."""
    return _ordered("first", col, ignorenulls)


def first_value(col: ColumnOrName, ignoreNulls: bool | Column | None = None) -> Column:
    """The first value in order of arrival."""
    return _ordered("first_value", col, ignoreNulls)


def grouping(col: ColumnOrName) -> Column:
    """1 where the column is not grouped by in this row of a rollup or cube, 0 where it is."""
    return call("grouping", to_column(col))


def grouping_id(*cols: ColumnOrName | list[ColumnOrName]) -> Column:
    """The `grouping` of all columns as the bits of one number."""
    return call("grouping_id", *to_columns(cols))


def histogram_numeric(col: ColumnOrName, nBins: Column | int) -> Column:
    """A histogram of `nBins` bins: an array of their centres ``x`` and counts ``y``."""
    return call("histogram_numeric", to_column(col), lit(nBins))


def hll_sketch_agg(col: ColumnOrName, lgConfigK: int | Column | None = None) -> Column:
    """An HLL sketch of Apache DataSketches over the values, as bytes: 2 to the power of `lgConfigK` (12) registers."""
    more = () if lgConfigK is None else (lit(lgConfigK),)
    return call("hll_sketch_agg", to_column(col), *more)


def hll_union_agg(col: ColumnOrName, allowDifferentLgConfigK: bool | Column | None = None) -> Column:
    """One HLL sketch of all that the sketches in `col` have seen."""
    more = () if allowDifferentLgConfigK is None else (lit(allowDifferentLgConfigK),)
    return call("hll_union_agg", to_column(col), *more)


def kurtosis(col: ColumnOrName) -> Column:
    """The kurtosis of a population, 0 for a normal distribution."""
    return call("kurtosis", to_column(col))


def last(col: ColumnOrName, ignorenulls: bool = False) -> Column:
    """The last value in order of arrival."""
    return _ordered("last", col, ignorenulls)


def last_value(col: ColumnOrName, ignoreNulls: bool | Column | None = None) -> Column:
    """The last value in order of arrival."""
    return _ordered("last_value", col, ignoreNulls)


def listagg(col: ColumnOrName, delimiter: Column | str | bytes | None = None) -> Column:
    """The values as text, one after the other in order of arrival, NULLs left out."""
    return call("listagg", to_column(col), optional(lit, delimiter))


def listagg_distinct(col: ColumnOrName, delimiter: Column | str | bytes | None = None) -> Column:
    """The different values as text, one after the other."""
    return call("listagg", to_column(col), optional(lit, delimiter), distinct=True)


def max(col: ColumnOrName) -> Column:
    """The greatest value; NaN is greater than all numbers."""
    return call("max", to_column(col))


def max_by(col: ColumnOrName, ord: ColumnOrName, k: int | None = None) -> Column:
    """The value of `col` where `ord` is greatest, the last of equal ones; with `k` the `k` best as an array."""
    return call("max_by", to_column(col), to_column(ord), optional(lit, k))


def mean(col: ColumnOrName) -> Column:
    """The mean: another name of `avg`."""
    return call("avg", to_column(col))


def median(col: ColumnOrName) -> Column:
    """The median, exact."""
    return call("median", to_column(col))


def min(col: ColumnOrName) -> Column:
    """The least value."""
    return call("min", to_column(col))


def min_by(col: ColumnOrName, ord: ColumnOrName, k: int | None = None) -> Column:
    """The value of `col` where `ord` is least, the last of equal ones; with `k` the `k` best as an array."""
    return call("min_by", to_column(col), to_column(ord), optional(lit, k))


def mode(col: ColumnOrName, deterministic: bool | Column = False) -> Column:
    """The most frequent value; here always the least of equally frequent ones."""
    return call("mode", to_column(col), lit(deterministic))


def percentile(col: ColumnOrName, percentage: Any, frequency: Column | int = 1) -> Column:
    """A percentile, exact; a list of percentages gives an array. `frequency` says how often a value counts."""
    return call("percentile", to_column(col), lit(percentage), lit(frequency))


def percentile_approx(col: ColumnOrName, percentage: Any, accuracy: Column | int = 10000) -> Column:
    """A percentile, about, with an error of ``1 / accuracy`` of the count; a list of percentages gives an array."""
    return call("percentile_approx", to_column(col), lit(percentage), lit(accuracy))


def product(col: ColumnOrName) -> Column:
    """The product, a double."""
    return call("product", to_column(col))


def regr_avgx(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The mean of x over pairs without NULL."""
    return call("regr_avgx", to_column(y), to_column(x))


def regr_avgy(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The mean of y over pairs without NULL."""
    return call("regr_avgy", to_column(y), to_column(x))


def regr_count(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The number of pairs without NULL."""
    return call("regr_count", to_column(y), to_column(x))


def regr_intercept(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The intercept of the line fitted to the pairs."""
    return call("regr_intercept", to_column(y), to_column(x))


def regr_r2(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The determination of the line fitted to the pairs."""
    return call("regr_r2", to_column(y), to_column(x))


def regr_slope(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The slope of the line fitted to the pairs."""
    return call("regr_slope", to_column(y), to_column(x))


def regr_sxx(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The sum of squared deviations of x."""
    return call("regr_sxx", to_column(y), to_column(x))


def regr_sxy(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The sum of products of deviations."""
    return call("regr_sxy", to_column(y), to_column(x))


def regr_syy(y: ColumnOrName, x: ColumnOrName) -> Column:
    """The sum of squared deviations of y."""
    return call("regr_syy", to_column(y), to_column(x))


def skewness(col: ColumnOrName) -> Column:
    """The skewness of a population."""
    return call("skewness", to_column(col))


def some(col: ColumnOrName) -> Column:
    """True when any value is: another name of `bool_or`."""
    return call("some", to_column(col))


def std(col: ColumnOrName) -> Column:
    """The standard deviation of a sample: another name of `stddev_samp`."""
    return call("std", to_column(col))


def stddev(col: ColumnOrName) -> Column:
    """The standard deviation of a sample."""
    return call("stddev", to_column(col))


def stddev_pop(col: ColumnOrName) -> Column:
    """The standard deviation of a population."""
    return call("stddev_pop", to_column(col))


def stddev_samp(col: ColumnOrName) -> Column:
    """The standard deviation of a sample."""
    return call("stddev_samp", to_column(col))


def string_agg(col: ColumnOrName, delimiter: Column | str | bytes | None = None) -> Column:
    """The values as text, one after the other: another name of `listagg`."""
    return call("string_agg", to_column(col), optional(lit, delimiter))


def string_agg_distinct(col: ColumnOrName, delimiter: Column | str | bytes | None = None) -> Column:
    """The different values as text: another name of `listagg_distinct`."""
    return call("string_agg", to_column(col), optional(lit, delimiter), distinct=True)


def sum(col: ColumnOrName) -> Column:
    """The sum; bigint for whole numbers, ten digits wider for decimals."""
    return call("sum", to_column(col))


def sumDistinct(col: ColumnOrName) -> Column:
    """The sum of the different values: another name of `sum_distinct`."""
    return sum_distinct(col)


def sum_distinct(col: ColumnOrName) -> Column:
    """The sum of the different values."""
    return call("sum", to_column(col), distinct=True)


def try_avg(col: ColumnOrName) -> Column:
    """The mean, NULL where it overflows."""
    return call("try_avg", to_column(col))


def try_sum(col: ColumnOrName) -> Column:
    """The sum, NULL where it overflows."""
    return call("try_sum", to_column(col))


def var_pop(col: ColumnOrName) -> Column:
    """The variance of a population."""
    return call("var_pop", to_column(col))


def var_samp(col: ColumnOrName) -> Column:
    """The variance of a sample."""
    return call("var_samp", to_column(col))


def variance(col: ColumnOrName) -> Column:
    """The variance of a sample."""
    return call("variance", to_column(col))


def _ordered(function: str, col: ColumnOrName, ignore_nulls: bool | Column | None) -> Column:
    return call(function, to_column(col), lit(ignore_nulls) if ignore_nulls is not None else None)
