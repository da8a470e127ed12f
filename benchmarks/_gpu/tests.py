"""``pytest tests/gpu``, each test a row."""

import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from _gpu import ROOT
from _gpu.call import Call
from _gpu.machine import environment
from _gpu.page import Lines, table
from _gpu.results import Result

# To write down what it has after it was interrupted.
_STOP_SECONDS = 20


def run(call: Call) -> None:
    """On a GPU the tests marked so; in small those of the operator, which are the same on the CPU."""
    where, chosen = ("tests/gpu/test_cuda_operator.py", "not slow") if call.is_small else ("tests/gpu", "gpu")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", where, "-m", chosen, "-q", "--tb=short", f"--junitxml={report}"]
        # Neither other processes nor files in the source tree; what a new version warns of is no failure here.
        command += ["-o", "addopts=", "-p", "no:cacheprovider", "-W", "default", "--strict-markers"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=sys.stderr)
        try:
            process.wait(max(1.0, call.left))
        except subprocess.TimeoutExpired:
            call.note("not run for want of time: the tests after the last one of the list")
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
        if not report.exists():
            raise RuntimeError(f"pytest wrote no report and ended with {process.returncode}")
        for row in read_report(report):
            call.add(row)
    failed = sum(row["outcome"] == "failed" for row in call.result.rows)
    if failed:
        raise RuntimeError(f"{failed} of {len(call.result.rows)} tests failed")
    if process.returncode not in (0, 2):
        raise RuntimeError(f"pytest ended with {process.returncode}")


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
