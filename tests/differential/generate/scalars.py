"""The scalar functions and operators that random expressions are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scalar:
    """A function: the kind it gives, how it is written, the kinds it takes."""

    gives: str
    sql: str
    takes: tuple[str, ...]
    python: str = ""
    """How PySpark writes it, when not as SQL text."""
    inexact: bool = False


def _table(gives: str, text: str) -> list[Scalar]:
    """Lines of `SQL ;; kinds ;; PySpark`; a leading ~ marks what depends on the mathematics library."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        sql, takes, python = (*(part.strip() for part in line.split(";;")), "")[:3]
        found.append(Scalar(gives, sql.lstrip("~"), tuple(takes.split()), python, sql.startswith("~")))
    return found


SCALARS = [
    *_table(
        "string",
        r"""
upper({0}) ;; string ;; F.upper({0})
lower({0}) ;; string ;; F.lower({0})
trim({0}) ;; string ;; F.trim({0})
ltrim({0}) ;; string
rtrim({0}) ;; string
btrim({0}, 'a ') ;; string
initcap({0}) ;; string ;; F.initcap({0})
reverse({0}) ;; string ;; F.reverse({0})
concat({0}, {1}) ;; string string ;; F.concat({0}, {1})
({0} || '-' || {1}) ;; string int
concat_ws('-', {0}, {1}) ;; string string ;; F.concat_ws("-", {0}, {1})
concat_ws(',', {0}) ;; strings
substring({0}, 2, 3) ;; string ;; F.substring({0}, 2, 3)
substr({0}, -2) ;; string
left({0}, 2) ;; string
right({0}, 2) ;; string
replace({0}, 'a', 'xy') ;; string
translate({0}, 'abc', 'xy') ;; string ;; F.translate({0}, "abc", "xy")
repeat({0}, 2) ;; string ;; F.repeat({0}, 2)
lpad({0}, 4, '*') ;; string ;; F.lpad({0}, 4, "*")
rpad({0}, 3, 'xy') ;; string ;; F.rpad({0}, 3, "xy")
split_part({0}, ',', 2) ;; string
substring_index({0}, ',', 1) ;; string ;; F.substring_index({0}, ",", 1)
regexp_replace({0}, '[aeiou]+', '_') ;; string ;; F.regexp_replace({0}, "[aeiou]+", "_")
regexp_extract({0}, '([a-z])([0-9]*)', 1) ;; string ;; F.regexp_extract({0}, "([a-z])([0-9]*)", 1)
overlay({0} PLACING 'ZZ' FROM 2) ;; string
md5({0}) ;; string ;; F.md5({0})
sha1({0}) ;; string
sha2({0}, 256) ;; string ;; F.sha2({0}, 256)
base64(CAST({0} AS BINARY)) ;; string
hex({0}) ;; string ;; F.hex({0})
hex({0}) ;; int
bin({0}) ;; int
soundex({0}) ;; string
format_string('%s:%d', {0}, {1}) ;; string int
format_number({0}, 2) ;; decimal
CAST({0} AS STRING) ;; int ;; {0}.cast("string")
CAST({0} AS STRING) ;; bigint
CAST({0} AS STRING) ;; double
CAST({0} AS STRING) ;; float
CAST({0} AS STRING) ;; decimal
CAST({0} AS STRING) ;; boolean
CAST({0} AS STRING) ;; date
CAST({0} AS STRING) ;; timestamp ;; {0}.cast("string")
CAST({0} AS STRING) ;; ints
CAST({0} AS STRING) ;; struct
CAST({0} AS STRING) ;; map
date_format({0}, 'yyyy-MM-dd HH:mm') ;; timestamp ;; F.date_format({0}, "yyyy-MM-dd HH:mm")
date_format({0}, 'EEE d MMM yy') ;; date
element_at({0}, 1) ;; strings
{0}[1] ;; strings
{0}.b ;; struct ;; {0}["b"]
to_json({0}) ;; struct ;; F.to_json({0})
to_json({0}) ;; map
to_json({0}) ;; ints
get_json_object(to_json({0}), '$.b') ;; struct
array_join({0}, '/', '?') ;; strings ;; F.array_join({0}, "/", "?")
CAST(typeof({0}) AS STRING) ;; decimal
nullif({0}, {1}) ;; string string
nvl2({0}, {1}, 'none') ;; int string
greatest({0}, {1}) ;; string string
chr({0} + 70) ;; int
url_encode({0}) ;; string
elt(2, {0}, {1}) ;; string string
conv(CAST({0} AS STRING), 10, 16) ;; int
monthname({0}) ;; date
dayname({0}) ;; date
ltrim('a', {0}) ;; string
printf('%5d|%-5s|', {0}, {1}) ;; int string
""",
    ),
    *_table(
        "int",
        r"""
({0} + 1) ;; int ;; ({0} + 1)
({0} - {1}) ;; int int ;; ({0} - {1})
({0} * 2) ;; int ;; ({0} * 2)
(- {0}) ;; int ;; (-{0})
({0} % 5) ;; int ;; ({0} % 5)
pmod({0}, 4) ;; int
abs({0}) ;; int ;; F.abs({0})
({0} & 6) ;; int
({0} | 1) ;; int
({0} ^ {1}) ;; int int
shiftleft({0}, 2) ;; int ;; F.shiftleft({0}, 2)
shiftright({0}, 1) ;; int
({0} << 1) ;; int
greatest({0}, {1}, 3) ;; int int ;; F.greatest({0}, {1}, F.lit(3))
least({0}, {1}) ;; int int ;; F.least({0}, {1})
length({0}) ;; string ;; F.length({0})
char_length({0}) ;; string
octet_length({0}) ;; string
bit_length({0}) ;; string
ascii({0}) ;; string ;; F.ascii({0})
instr({0}, 'b') ;; string ;; F.instr({0}, "b")
locate('a', {0}, 2) ;; string
position('b' IN {0}) ;; string
levenshtein({0}, {1}) ;; string string ;; F.levenshtein({0}, {1})
find_in_set({0}, 'a,b,c') ;; string
hash({0}, {1}) ;; int string ;; F.hash({0}, {1})
hash({0}) ;; decimal
hash({0}) ;; timestamp
hash({0}) ;; double
hash({0}) ;; struct
hash({0}) ;; ints
CAST({0} AS INT) ;; boolean ;; {0}.cast("int")
CAST({0} AS INT) ;; smallint
CAST(round({0}) AS INT) ;; float
try_cast({0} AS INT) ;; string
try_add({0}, {1}) ;; int int
try_subtract({0}, {1}) ;; int int
try_multiply({0}, {1}) ;; int int
CAST(ceil({0}) AS INT) ;; decimal
year({0}) ;; date ;; F.year({0})
quarter({0}) ;; date
month({0}) ;; timestamp ;; F.month({0})
day({0}) ;; date
dayofweek({0}) ;; date ;; F.dayofweek({0})
weekday({0}) ;; date
dayofyear({0}) ;; date
weekofyear({0}) ;; date
hour({0}) ;; timestamp ;; F.hour({0})
minute({0}) ;; timestamp
second({0}) ;; timestamp
extract(DAY FROM {0}) ;; timestamp
date_part('WEEK', {0}) ;; date
datediff({0}, {1}) ;; date date ;; F.datediff({0}, {1})
size({0}) ;; ints ;; F.size({0})
size({0}) ;; map
cardinality({0}) ;; strings
element_at({0}, 1) ;; ints
try_element_at({0}, 3) ;; ints
get({0}, 0) ;; ints
array_max({0}) ;; ints ;; F.array_max({0})
array_min({0}) ;; ints
aggregate({0}, 0, (acc, x) -> acc + coalesce(x, 0)) ;; ints
aggregate({0}, 1, (acc, x) -> acc + 1, acc -> acc * 10) ;; ints
{0}['a'] ;; map
try_element_at({0}, 'b') ;; map
{0}.a ;; struct ;; {0}["a"]
unix_date({0}) ;; date
nvl({0}, {1}) ;; int int
nullif({0}, 2) ;; int
bit_count({0}) ;; int
CAST(getbit({0}, 1) AS INT) ;; int
if(sign({0}) = 1, {0}, 0) ;; int
if(width_bucket({0}, 0, 10, 5) % 3 = 1, 1, 0) ;; int
(from_json('{{"a": 5}}', 'a INT').a + {0}) ;; int
""",
    ),
    *_table(
        "bigint",
        r"""
({0} + 1) ;; bigint ;; ({0} + 1)
({0} * 2) ;; bigint
({0} - {1}) ;; bigint int
CAST({0} AS BIGINT) ;; int ;; {0}.cast("bigint")
({0} div 3) ;; bigint
abs({0}) ;; bigint
(- {0}) ;; bigint
unix_seconds({0}) ;; timestamp
unix_millis({0}) ;; timestamp
unix_micros({0}) ;; timestamp
unix_timestamp({0}) ;; timestamp
xxhash64({0}, {1}) ;; int string ;; F.xxhash64({0}, {1})
xxhash64({0}) ;; double
xxhash64({0}) ;; decimal
crc32({0}) ;; string ;; F.crc32({0})
array_position({0}, 2) ;; ints
factorial(pmod({0}, 7)) ;; int
CAST({0} AS BIGINT) ;; timestamp
CAST({0} AS BIGINT) ;; decimal
greatest({0}, {1}) ;; bigint int
shiftleft({0}, 3) ;; bigint
floor({0}) ;; float
ceil({0} + 0) ;; bigint
timestampdiff(MINUTE, {0}, {1}) ;; timestamp timestamp
""",
    ),
    *_table(
        "smallint",
        r"""
CAST({0} % 100 AS SMALLINT) ;; int
coalesce({0}, 0S) ;; smallint
""",
    ),
    *_table(
        "float",
        r"""
CAST({0} AS FLOAT) ;; int
({0} + CAST(1 AS FLOAT)) ;; float
abs({0}) ;; float
(- {0}) ;; float
""",
    ),
    *_table(
        "double",
        r"""
({0} + 0.5D) ;; double
({0} * 2) ;; double ;; ({0} * 2)
({0} - {1}) ;; double double
({0} / 4) ;; double ;; ({0} / 4)
({0} / 4) ;; int
try_divide({0}, {1}) ;; int int
abs({0}) ;; double
(- {0}) ;; double
CAST({0} AS DOUBLE) ;; int ;; {0}.cast("double")
CAST({0} AS DOUBLE) ;; float
CAST({0} AS DOUBLE) ;; decimal
try_cast({0} AS DOUBLE) ;; string
round({0}, 1) ;; double ;; F.round({0}, 1)
bround({0}, 1) ;; double
rint({0}) ;; double
sqrt(abs({0})) ;; double ;; F.sqrt(F.abs({0}))
~exp({0} / 10) ;; int ;; F.exp({0} / 10)
~ln(abs({0}) + 1) ;; int
~log10(abs({0}) + 1) ;; int
~log(2, abs({0}) + 1) ;; int
~pow({0}, 2) ;; double
~sin({0}) ;; int ;; F.sin({0})
~cos({0}) ;; int
~atan2({0}, {1}) ;; int int
~cbrt({0}) ;; int
(hypot(3, 4) + {0}) ;; int
(degrees(0) + {0}) ;; double
nanvl({0}, 0D) ;; double ;; F.nanvl({0}, F.lit(0.0))
greatest({0}, {1}) ;; double double
least({0}, {1}) ;; double double
signum({0}) ;; double
months_between({0}, {1}) ;; date date
coalesce({0}, 0D) ;; double
nullif({0}, 0D) ;; double
""",
    ),
    *_table(
        "decimal",
        r"""
({0} + {1}) ;; decimal decimal ;; ({0} + {1})
({0} - 1.5) ;; decimal
({0} * 2) ;; decimal
({0} * {1}) ;; decimal decimal
({0} / 3) ;; decimal
({0} % 3) ;; decimal
(- {0}) ;; decimal
abs({0}) ;; decimal ;; F.abs({0})
round({0}, 1) ;; decimal ;; F.round({0}, 1)
bround({0}) ;; decimal
floor({0}) ;; decimal
ceil({0}) ;; decimal
CAST({0} AS DECIMAL(12,3)) ;; int ;; {0}.cast("decimal(12,3)")
CAST({0} AS DECIMAL(20,2)) ;; decimal
try_cast({0} AS DECIMAL(6,1)) ;; string
({0} + {1}) ;; decimal int
greatest({0}, {1}) ;; decimal decimal
""",
    ),
    *_table(
        "boolean",
        r"""
({0} > 2) ;; int ;; ({0} > 2)
({0} <= {1}) ;; int int ;; ({0} <= {1})
({0} = 'a') ;; string ;; ({0} == "a")
({0} <> {1}) ;; string string ;; ({0} != {1})
({0} <=> {1}) ;; string string ;; {0}.eqNullSafe({1})
({0} < {1}) ;; string string
({0} LIKE 'a%') ;; string ;; {0}.like("a%")
({0} ILIKE '%B%') ;; string ;; {0}.ilike("%B%")
({0} NOT LIKE '_') ;; string
({0} RLIKE '^[a-z]+$') ;; string ;; {0}.rlike("^[a-z]+$")
startswith({0}, 'a') ;; string ;; {0}.startswith("a")
endswith({0}, 'b') ;; string
contains({0}, 'b') ;; string ;; {0}.contains("b")
({0} IN ('a', 'c', 'zz')) ;; string ;; {0}.isin("a", "c", "zz")
({0} IN (1, 2, NULL)) ;; int
({0} NOT IN (1, 2)) ;; int ;; (~{0}.isin(1, 2))
({0} BETWEEN 0 AND 5) ;; int ;; {0}.between(0, 5)
({0} IS NULL) ;; int ;; {0}.isNull()
({0} IS NOT NULL) ;; string ;; {0}.isNotNull()
({0} AND {1}) ;; boolean boolean ;; ({0} & {1})
({0} OR {1}) ;; boolean boolean ;; ({0} | {1})
(NOT {0}) ;; boolean ;; (~{0})
({0} IS TRUE) ;; boolean
({0} = {1}) ;; boolean boolean
isnan({0}) ;; double ;; F.isnan({0})
({0} > 1) ;; double ;; ({0} > 1)
({0} = {1}) ;; double double
({0} < {1}) ;; double float
({0} >= 1.5) ;; decimal
({0} > {1}) ;; decimal int
({0} > {1}) ;; bigint double
({0} > TIMESTAMP '2024-01-01 12:10:00') ;; timestamp
({0} < '2024-01-02') ;; date
({0} = {1}) ;; date timestamp
array_contains({0}, 2) ;; ints ;; F.array_contains({0}, 2)
exists({0}, x -> x > 1) ;; ints ;; F.exists({0}, lambda x: x > 1)
forall({0}, x -> x IS NOT NULL) ;; ints ;; F.forall({0}, lambda x: x.isNotNull())
arrays_overlap({0}, {1}) ;; ints ints
map_contains_key({0}, 'a') ;; map
({0} = {1}) ;; struct struct
({0} = {1}) ;; ints ints
(CAST({0} AS BOOLEAN)) ;; int
equal_null({0}, {1}) ;; int int

""",
    ),
    *_table(
        "date",
        r"""
to_date({0}) ;; timestamp ;; F.to_date({0})
CAST({0} AS DATE) ;; timestamp ;; {0}.cast("date")
try_cast({0} AS DATE) ;; string
date_add({0}, 3) ;; date ;; F.date_add({0}, 3)
date_sub({0}, {1}) ;; date int
({0} + INTERVAL 2 DAYS) ;; date
({0} + INTERVAL 1 MONTH) ;; date
add_months({0}, {1}) ;; date int
last_day({0}) ;; date ;; F.last_day({0})
next_day({0}, 'MON') ;; date
trunc({0}, 'MM') ;; date ;; F.trunc({0}, "MM")
trunc({0}, 'WEEK') ;; date
make_date(2024, 2, 1 + pmod({0}, 28)) ;; int
date_from_unix_date({0}) ;; int
greatest({0}, {1}) ;; date date
""",
    ),
    *_table(
        "timestamp",
        r"""
({0} + INTERVAL 5 MINUTES) ;; timestamp ;; ({0} + F.expr("INTERVAL 5 MINUTES"))
({0} - INTERVAL '1 02:03:04' DAY TO SECOND) ;; timestamp
({0} + INTERVAL 1 MONTH) ;; timestamp
date_trunc('HOUR', {0}) ;; timestamp ;; F.date_trunc("HOUR", {0})
date_trunc('WEEK', {0}) ;; timestamp
date_trunc('MONTH', {0}) ;; date
CAST({0} AS TIMESTAMP) ;; date ;; {0}.cast("timestamp")
timestamp_seconds({0}) ;; int ;; F.timestamp_seconds({0})
timestamp_millis({0}) ;; bigint
from_utc_timestamp({0}, 'America/New_York') ;; timestamp ;; F.from_utc_timestamp({0}, "America/New_York")
to_utc_timestamp({0}, 'Europe/Vienna') ;; timestamp
to_timestamp(CAST({0} AS STRING)) ;; timestamp
try_to_timestamp({0}) ;; string
make_timestamp(2024, 1, 1 + pmod({0}, 28), 3, 4, 5.25) ;; int
timestampadd(HOUR, {1}, {0}) ;; timestamp int
least({0}, {1}) ;; timestamp timestamp
to_timestamp(date_format({0}, 'dd/MM/yyyy HH:mm'), 'dd/MM/yyyy HH:mm') ;; timestamp
""",
    ),
    *_table(
        "ints",
        r"""
array({0}, 1) ;; int ;; F.array({0}, F.lit(1))
sort_array({0}) ;; ints ;; F.sort_array({0})
sort_array({0}, false) ;; ints
array_sort({0}) ;; ints
array_distinct({0}) ;; ints ;; F.array_distinct({0})
slice({0}, 1, 2) ;; ints ;; F.slice({0}, 1, 2)
reverse({0}) ;; ints
concat({0}, {1}) ;; ints ints
transform({0}, x -> x + 1) ;; ints ;; F.transform({0}, lambda x: x + 1)
transform({0}, (x, i) -> coalesce(x, i)) ;; ints
filter({0}, x -> x % 2 = 0) ;; ints ;; F.filter({0}, lambda x: x % 2 == 0)
sequence(1, 1 + pmod({0}, 4)) ;; int
flatten(array({0}, {1})) ;; ints ints
array_union({0}, {1}) ;; ints ints
array_intersect({0}, {1}) ;; ints ints
array_except({0}, {1}) ;; ints ints
array_remove({0}, 2) ;; ints
array_repeat({0}, 2) ;; int
array_compact({0}) ;; ints
array_append({0}, {1}) ;; ints int
array_insert({0}, 1, 9) ;; ints
map_values({0}) ;; map
zip_with({0}, {1}, (x, y) -> x + y) ;; ints ints
""",
    ),
    *_table(
        "strings",
        r"""
split({0}, ',') ;; string ;; F.split({0}, ",")
split({0}, '[ab]', 2) ;; string
array({0}, {1}) ;; string string
map_keys({0}) ;; map ;; F.map_keys({0})
transform({0}, s -> upper(s)) ;; strings
filter({0}, s -> length(s) > 1) ;; strings
array_distinct({0}) ;; strings
sort_array({0}) ;; strings
regexp_extract_all({0}, '([a-z])', 1) ;; string
if(str_to_map('x')['x'] IS NULL, array({0}), NULL) ;; string
""",
    ),
    *_table(
        "map",
        r"""
map('k', {0}) ;; int ;; F.create_map(F.lit("k"), {0})
map_concat({0}, map('q', 1)) ;; map
map_filter({0}, (k, v) -> v > 0) ;; map ;; F.map_filter({0}, lambda k, v: v > 0)
transform_values({0}, (k, v) -> v * 2) ;; map
map_from_arrays(array('x', 'y'), array({0}, {1})) ;; int int
map_from_entries(array(struct('m', {0}))) ;; int
""",
    ),
    *_table(
        "struct",
        r"""
named_struct('a', {0}, 'b', {1}) ;; int string
struct({0} AS a, {1} AS b) ;; int string
from_json(to_json({0}), 'a INT, b STRING') ;; struct
""",
    ),
]
"""Every function of every family."""
