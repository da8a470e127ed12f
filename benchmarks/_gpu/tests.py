"""``pytest tests/gpu``, each test a row."""

import contextlib
import importlib.util
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from _gpu import ROOT
from _gpu.call import Call
from _gpu.machine import cores, environment
from _gpu.page import Lines, table
from _gpu.results import Result

# To write down what it has after it was interrupted.
_STOP_SECONDS = 60
# The card is shared by as many, whose tests wait for the compiler most of the time.
_MOST_PROCESSES = 6


def run(call: Call) -> None:
    """On a GPU the tests marked so, those that time something alone; in small the operator's, the same on the CPU."""
    if call.is_small:
        passes = [["tests/gpu/test_cuda_operator.py", "-m", "not slow"]]
    else:
        several = min(_MOST_PROCESSES, cores() // 2) if importlib.util.find_spec("xdist") else 0
        beside = ["-n", str(several)] if several > 1 else []
        passes = [["tests/gpu", "-m", "gpu and not alone", *beside], ["tests/gpu", "-m", "gpu and alone"]]
    ended = []
    for arguments in passes:
        if call.has(1, f"the tests {arguments[2]}"):
            ended.append(_run(call, arguments))
    failed = sum(row["outcome"] == "failed" for row in call.result.rows)
    if failed:
        raise RuntimeError(f"{failed} of {len(call.result.rows)} tests failed")
    if wrong := [code for code in ended if code not in (0, 2)]:
        raise RuntimeError(f"pytest ended with {wrong[0]}")


def _run(call: Call, arguments: list[str]) -> int:
    """pytest's exit status; each test of its report is a row."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *arguments, "-q", "--tb=short", f"--junitxml={report}"]
        # No files in the source tree; what a new version warns of is no failure here.
        command += ["-o", "addopts=", "-p", "no:cacheprovider", "-W", "default", "--strict-markers"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=sys.stderr)
        try:
            process.wait(max(1.0, call.left))
        except subprocess.TimeoutExpired:
            call.note("not run for want of time: the tests after the last one of the list")
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
        if not report.exists():
            raise RuntimeError(f"pytest wrote no report and ended with {process.returncode}")
        for row in read_report(report):
            call.add(row)
    return process.returncode


def read_report(path: Path) -> list[dict[str, object]]:
    """Of pytest's XML each test: passed, failed (errors too) or skipped, its seconds, and why."""
    rows: list[dict[str, object]] = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome, said = "passed", ""
        for kind, name in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
            found = case.find(kind)
            if found is not None:
                outcome, said = name, " ".join((found.get("message") or "").split())[:300]
                break
        test = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
        rows.append({"test": test, "outcome": outcome, "seconds": float(case.get("time", 0)), "said": said})
    return rows


def section(result: Result) -> Lines:
    counts = Counter(row["outcome"] for row in result.rows)
    yield from table(("passed", "failed", "skipped"), [[str(counts[each]) for each in ("passed", "failed", "skipped")]])
    for row in result.rows:
        if row["outcome"] == "failed":
            yield f"- **{row['test']}**: {row['said']}"
    for said, count in Counter(row["said"] for row in result.rows if row["outcome"] == "skipped").items():
        yield f"- {count} skipped: {said}"
