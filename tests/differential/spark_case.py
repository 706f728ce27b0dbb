"""Runs one case on the real Spark and takes down what it answers, in the fields of a case file."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import spark_values as values
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

ONCE = ("availableNow", "once")
ON_PURPOSE = "the sink fails on purpose"
POLLING_DELAY_MS = "300"
"""Between looks at the sources when there are several: a batch must be seen by all of them at once."""


class Refused(Exception):
    """Spark does not accept the query; what it raised is the cause."""


class Recording:
    """One run of a case."""

    def __init__(self, spark: SparkSession, case: dict[str, Any], form: str) -> None:
        self.spark, self.case, self.form = spark, case, form
        self.work = Path(tempfile.mkdtemp(prefix="spark-case-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.input, self.checkpoint = self.work / "in", self.work / "checkpoint"
        self.query: Any = None
        self.rows: dict[int, list[list[Any]]] = {}
        self.progress: dict[int, dict[str, Any]] = {}
        self.raised: list[Exception] = []
        self.failed: set[int] = set()
        self.batch = 0
        self.micro_batches = 0
        self.files = itertools.count()
        self.found: dict[str, Any] = {
            "expected": [],
            "expected_watermark_ms_after_batch": [],
            "expected_state_rows": [],
            "late_rows_dropped": [],
            "state_operators": [],
            "has_no_data_batch": False,
        }

    def run(self) -> dict[str, Any]:
        """What Spark answers."""
        conf = dict(self.case.get("conf") or {})
        if len(self.case["schema"]) > 1:
            conf["spark.sql.streaming.pollingDelay"] = POLLING_DELAY_MS
        before = {key: self.spark.conf.get(key, None) for key in conf}
        for key, value in conf.items():
            self.spark.conf.set(key, value)
        try:
            for number, batch in enumerate(self.case["batches"]):
                self.batch = number
                if not self.one_batch(number, batch):
                    break
        finally:
            self.stop()
            for key, value in before.items():
                self.spark.conf.unset(key) if value is None else self.spark.conf.set(key, value)
            shutil.rmtree(self.work, ignore_errors=True)
        if self.found.get("expect_error", {}).get("phase") == "analysis":
            return {"expect_error": self.found["expect_error"]}
        return self.found

    def one_batch(self, number: int, batch: dict[str, Any]) -> bool:
        """Feeds a batch and waits until it is worked off; false when the query has failed."""
        if str(number) in (self.case.get("restart_before") or {}):
            self.stop()
        self.write(number, batch)
        once = (self.case.get("trigger") or {}).get("mode") in ONCE
        while True:
            try:
                if self.query is None:
                    self.query = self.start()
                self.query.awaitTermination() if once else self.query.processAllAvailable()
                self.take_progress()
                self.query = None if once else self.query
                break
            except Refused as refused:
                self.found["expect_error"] = error(refused.__cause__, "analysis", 0)
                return False
            except Exception as failure:
                self.take_progress()
                self.stop()
                if ON_PURPOSE in str(failure):
                    continue
                self.found["expect_error"] = error(self.raised[-1] if self.raised else failure, "runtime", number)
                return False
        self.take_results()
        return True

    def stop(self) -> None:
        if self.query is not None and self.query.isActive:
            self.query.stop()
        self.query = None

    def start(self) -> Any:
        try:
            out = self.build()
            self.found["output_schema"] = [[field.name, field.dataType.simpleString()] for field in out.schema.fields]
            writer = out.writeStream.outputMode(self.case["output_mode"]).foreachBatch(self.sink)
            writer = writer.option("checkpointLocation", str(self.checkpoint))
            trigger = self.case.get("trigger") or {}
            if trigger.get("mode") in ONCE:
                writer = writer.trigger(**{trigger["mode"]: True})
            elif trigger.get("mode") == "processingTime":
                writer = writer.trigger(processingTime=trigger.get("interval", "0 seconds"))
            return writer.start()
        except Exception as refusal:
            raise Refused from refusal

    def build(self) -> DataFrame:
        """The query over the streams and tables."""
        scope: dict[str, Any] = {"spark": self.spark, "F": F, "T": T, "Window": Window}
        for name, columns in self.case["schema"].items():
            (self.input / "empty" / name).mkdir(parents=True, exist_ok=True)
            reader = self.spark.readStream.schema(values.schema_of(columns))
            for key, value in (self.case.get("source_options") or {}).items():
                reader = reader.option(key, value)
            scope[name] = reader.format("json").load(f"{self.input}/*/{name}")
        for name, table in (self.case.get("static") or {}).items():
            schema = values.schema_of(table["schema"])
            rows = [
                tuple(values.to_python(value, field.dataType) for value, field in zip(row, schema.fields, strict=True))
                for row in table["rows"]
            ]
            scope[name] = self.spark.createDataFrame(rows, schema)
        if self.form == "dataframe":
            exec(compile(self.case["query"]["dataframe"], self.case["name"], "exec"), scope)
            return scope["out"]
        for name, mark in (self.case.get("watermark") or {}).items():
            if " WATERMARK " not in self.case["query"]["sql"]:
                scope[name] = scope[name].withWatermark(mark["column"], mark["delay"])
        for name in [*self.case["schema"], *(self.case.get("static") or {})]:
            scope[name].createOrReplaceTempView(name)
        return self.spark.sql(self.case["query"]["sql"])

    def sink(self, frame: DataFrame, number: int) -> None:
        try:
            rows = frame.collect()
        except Exception as failure:
            self.raised.append(failure)
            raise
        if self.batch in (self.case.get("fail_in_batch") or []) and self.batch not in self.failed:
            self.failed.add(self.batch)
            raise RuntimeError(ON_PURPOSE)
        fields = frame.schema.fields
        self.rows[number] = [
            [values.from_spark(value, field.dataType) for value, field in zip(row, fields, strict=True)] for row in rows
        ]

    def write(self, number: int, batch: dict[str, Any]) -> None:
        """The files of a batch; they appear at once, their modification times say their order."""
        staging = self.work / f"staging{number}"
        for name, rows in batch.items():
            (staging / name).mkdir(parents=True)
            schema = values.schema_of(self.case["schema"][name])
            for content in rows["files"] if isinstance(rows, dict) else [rows]:
                order = next(self.files)
                path = staging / name / f"f{order:05d}.json"
                path.write_text("".join(values.to_line(row, schema) + "\n" for row in content), encoding="utf-8")
                os.utime(path, (time.time() - 100_000 + order,) * 2)
        if batch:
            self.input.mkdir(exist_ok=True)
            staging.rename(self.input / f"b{number:04d}")

    def take_progress(self) -> None:
        for report in self.query.recentProgress if self.query is not None else []:
            of = json.loads(report.json) if isinstance(getattr(report, "json", None), str) else dict(report)
            if "addBatch" in of.get("durationMs", {}):
                self.progress[of["batchId"]] = of

    def take_results(self) -> None:
        """What the micro-batches since the last input batch have given."""
        rows: list[list[Any]] = []
        marks, states = self.found["expected_watermark_ms_after_batch"], self.found["expected_state_rows"]
        watermark, state = (marks[-1] if marks else 0), (states[-1] if states else [])
        late = 0
        while (commit := self.checkpoint / "commits" / str(self.micro_batches)).exists():
            watermark = json.loads(commit.read_text().split("\n")[1])["nextBatchWatermarkMs"]
            rows += self.rows.get(self.micro_batches, [])
            if report := self.progress.get(self.micro_batches):
                operators = report["stateOperators"]
                state = [operator["numRowsTotal"] for operator in operators]
                late += sum(operator["numRowsDroppedByWatermark"] for operator in operators)
                self.found["state_operators"] = [operator["operatorName"] for operator in operators]
                still = all(source["startOffset"] == source["endOffset"] for source in report["sources"])
                self.found["has_no_data_batch"] |= still and self.micro_batches > 0
            self.micro_batches += 1
        self.found["expected"].append(rows if self.case.get("ordered") else sorted(rows, key=json.dumps))
        marks.append(watermark)
        states.append(state)
        self.found["late_rows_dropped"].append(late)


def error(raised: BaseException | None, phase: str, batch: int) -> dict[str, Any]:
    """An error as case files name it."""
    condition = getattr(raised, "getCondition", lambda: None)()
    message = str(raised).split("\n")[0][:300]
    # what fails while a query is planned comes wrapped
    wrapped = re.search(r"terminated with exception: \[([A-Z0-9_.]+)\]", message)
    if condition == "STREAM_FAILED" and wrapped:
        condition = wrapped[1]
    return {"phase": phase, "class": condition, "batch": batch, "message": message}
