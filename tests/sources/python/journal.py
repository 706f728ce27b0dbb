"""Data sources for the tests, over a file of lines that only grows. They are written against PySpark's classes, of which
`api` has the names: ``pyspark.sql.datasource`` or ``tidemill.datasource``.
"""

from datetime import datetime, timedelta

EPOCH = datetime(2026, 1, 1)


def lines_of(path, first, last):
    """The whole lines from one number to another."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[: text.rfind("\n") + 1].splitlines()[first:last]


def row(line):
    """A line as a row; one that says so is wrong."""
    if line == "broken":
        raise ValueError("this line is broken")
    number = int(line)
    return (number, f"n{number}", EPOCH + timedelta(seconds=number), None if number % 5 == 0 else number / 4)


COLUMNS = "id BIGINT, name STRING, at TIMESTAMP_NTZ, part DOUBLE"


def sources(api):
    """The classes to register: `journal` is planned in partitions, `simple_journal` is not."""

    class Lines(api.InputPartition):
        def __init__(self, first, last):
            self.first, self.last = first, last

    class JournalReader(api.DataSourceStreamReader):
        def __init__(self, options):
            self.path = options["path"]
            self.most = int(options.get("most", "1000000"))
            self.arrow = options.get("arrow", "false") == "true"

        def initialOffset(self):
            return {"journal": {"line": 0}}

        def latestOffset(self, start, limit):
            return {"journal": {"line": min(len(lines_of(self.path, 0, None)), start["journal"]["line"] + self.most)}}

        def partitions(self, start, end):
            first, last = start["journal"]["line"], end["journal"]["line"]
            middle = (first + last) // 2
            return [Lines(a, b) for a, b in ((first, middle), (middle, last)) if a < b]

        def read(self, partition):
            found = [row(line) for line in lines_of(self.path, partition.first, partition.last)]
            if not self.arrow:
                yield from found
                return
            import pyarrow as pa

            types = [pa.int64(), pa.string(), pa.timestamp("us"), pa.float64()]
            arrays = [pa.array(values, of) for values, of in zip(zip(*found, strict=True), types, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, ["id", "name", "at", "part"])

        def commit(self, end):
            with open(self.path + ".committed", "a", encoding="utf-8") as file:
                file.write(f"{end['journal']['line']}\n")

    class Journal(api.DataSource):
        @classmethod
        def name(cls):
            return "journal"

        def schema(self):
            return COLUMNS

        def streamReader(self, schema):
            return JournalReader(self.options)

    class SimpleReader(api.SimpleDataSourceStreamReader):
        def __init__(self, options):
            self.path = options["path"]

        def initialOffset(self):
            return {"line": 0}

        def read(self, start):
            found = lines_of(self.path, start["line"], None)
            return iter([row(line) for line in found]), {"line": start["line"] + len(found)}

        def readBetweenOffsets(self, start, end):
            return iter([row(line) for line in lines_of(self.path, start["line"], end["line"])])

    class SimpleJournal(api.DataSource):
        @classmethod
        def name(cls):
            return "simple_journal"

        def schema(self):
            return COLUMNS

        def simpleStreamReader(self, schema):
            return SimpleReader(self.options)

    return [Journal, SimpleJournal]
