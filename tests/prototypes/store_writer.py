"""A process that forks others, which write to stores, and kills them.

Reads one job per line (JSON) and answers each with one line. Forking from a process that
has imported everything and has one thread makes hundreds of starts cheap.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import store_model as plain

from owseg.prototypes import PrototypeStore, database, store

connect = database._connect


class CarelessDatabase(database.Database):
    """Writes without a transaction: each statement is one of its own."""

    def change(self, work):
        return work(self._db())


def die_at(statement):
    """Make this process die, as by kill -9, before so many statements of SQL were run."""
    left = [statement]

    def count(_):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(file, mode):
        db = connect(file, mode)
        db.set_trace_callback(count)
        return db

    return traced, count


def write(job, report):
    """Go on with the course of changes where the store is, and report each version."""
    if job.get("careless"):
        store.Database = CarelessDatabase
    if "die_creating" in job:
        database._connect, _ = die_at(job["die_creating"])
    with PrototypeStore(job["path"], create=True) as opened:
        model = plain.grown(opened.version)
        if "die_at" in job:
            opened._db._connection.set_trace_callback(die_at(job["die_at"])[1])
        for _ in range(job.get("steps", 10**9)):
            plain.step(model, opened)
            report(model.version)


def race(job, report):
    """Add classes round by round, each at the moment at which all have done the last one."""
    opened = PrototypeStore(job["path"], create=True)
    for number in range(job["classes"]):
        deadline = time.monotonic() + 30
        while opened.version < number * job["racers"] and time.monotonic() < deadline:
            time.sleep(0.0002)
        if job["reopen"]:
            opened.close()
            opened = PrototypeStore(job["path"], create=True)
        new = plain.new_class(f"{job['name']} {number}", Random(number))
        report(plain.apply(opened, "add", new).id)
    opened.close()


WORK = {"write": write, "race": race}


class Running:
    """A forked process that does a job."""

    def __init__(self, job):
        end, begin = os.pipe()
        self.id = os.fork()
        if not self.id:
            self._work(job, begin)
        os.close(begin)
        self._pipe = os.fdopen(end)
        self._lines = []

    def _work(self, job, pipe):
        try:
            WORK[job["work"]](job, lambda what: os.write(pipe, f"{json.dumps(what)}\n".encode()))
            os._exit(0)
        except BaseException as error:
            os.write(pipe, f"{json.dumps({'error': str(error)})}\n".encode())
            os._exit(1)

    def kill(self, reports, seconds):
        """Kill it so long after it reported so often."""
        self._lines += [self._pipe.readline() for _ in range(reports)]
        time.sleep(seconds)
        os.kill(self.id, signal.SIGKILL)

    def finish(self):
        """Wait for it: how it ended, and what it reported."""
        with self._pipe:
            self._lines += self._pipe
        _, status = os.waitpid(self.id, 0)
        reports = [json.loads(line) for line in self._lines if line]
        return {"end": os.waitstatus_to_exitcode(status), "reports": reports}


def main():
    """Do the jobs of standard input; several at once if a line has several."""
    for line in sys.stdin:
        jobs = json.loads(line)
        started = [Running(job) for job in jobs]
        for job, running in zip(jobs, started, strict=True):
            if "kill_after" in job:
                running.kill(job.get("reports", 0), job["kill_after"])
        sys.stdout.write(json.dumps([running.finish() for running in started]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    assert Path(plain.__file__).parent == Path(__file__).parent
    main()
