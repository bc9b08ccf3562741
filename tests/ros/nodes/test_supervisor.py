"""The supervisor: programs are started again when they die, and none is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from owseg_ros.commands import supervisor as module
from owseg_ros.commands.supervisor import (
    Program,
    Supervisor,
    WhenDone,
    how_it_ended,
    next_delay,
)

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def python(name, code, **more):
    return Program(name=name, command=(sys.executable, "-c", code), **more)


@pytest.fixture
def supervise(monkeypatch):
    """Run a supervisor in a thread; it ends with the test."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    with contextlib.ExitStack() as stack:

        def run(*programs):
            said = []
            found = Supervisor(programs, lambda name, line: said.append((name, line)))
            codes = []
            thread = threading.Thread(target=lambda: codes.append(found.run()))
            thread.start()

            def end():
                found.stop()
                thread.join(20)
                return codes[0]

            stack.callback(end)
            return found, said, end

        yield run


def pid_of(found, name):
    (child,) = [child for child in found._children if child.program.name == name]
    return child.process.pid if child.process is not None else 0


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_delays_grow_and_begin_anew_after_a_good_run():
    delays, delay = [], 0.0
    for ran_s in (1, 1, 1, 1, 1, 1, 1, module.SETTLED_S, 2):
        delay = next_delay(delay, ran_s)
        delays.append(delay)
    assert delays == [1, 2, 4, 8, 16, 30, 30, 1, 2]


def test_ends_are_told_in_words():
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-9) == "was killed by SIGKILL"
    assert how_it_ended(-64 - 30) == "was killed by signal 94"


def test_a_program_that_dies_is_started_again(supervise, eventually):
    found, said, end = supervise(python("a", SLEEP), python("b", SLEEP))
    assert eventually(lambda: said.count(("a", "up")) == said.count(("b", "up")) == 1)
    first, other = pid_of(found, "a"), pid_of(found, "b")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: said.count(("a", "up")) == 2)
    assert ("a", "was killed by SIGKILL; starting it again in 0.05 s") in said
    assert pid_of(found, "a") not in (0, first)
    assert pid_of(found, "b") == other
    second = pid_of(found, "a")
    assert end() == 0
    assert not any(map(is_alive, (first, second, other)))


@pytest.mark.parametrize("code", [0, 1])
def test_it_is_started_again_however_it_ended(supervise, eventually, code):
    _, said, _ = supervise(python("a", f"import sys; print('up'); sys.exit({code})"))
    assert eventually(lambda: said.count(("a", "up")) >= 3)
    assert ("a", f"ended with exit code {code}; starting it again in 0.05 s") in said
    assert ("a", f"ended with exit code {code}; starting it again in 0.1 s") in said


def test_its_last_words_come_before_the_news_of_its_end(monkeypatch):
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    said = []

    def say_slowly(name, line):
        time.sleep(0.002)
        said.append(line)
        if "exit code" in line:
            found.stop()

    code = "import sys; print('line\\n' * 99); sys.exit('no model')"
    found = Supervisor([python("a", code)], say_slowly)
    assert found.run() == 0
    assert said[99:] == ["", "no model", "ended with exit code 1; starting it again in 1 s"]


def test_bad_input_at_the_first_start_ends_everything(supervise, eventually):
    found, said, _ = supervise(
        python("good", SLEEP), python("bad", "import sys; print('no file'); sys.exit(2)")
    )
    assert eventually(lambda: ("bad", "cannot start, see above; ending the others") in said)
    assert eventually(lambda: not pid_of(found, "good"))
    assert found._stopping.is_set()


def test_bad_input_gives_its_exit_code(supervise):
    _, _, end = supervise(python("bad", "import sys; sys.exit(2)"))
    time.sleep(0.5)
    assert end() == 2


def test_bad_input_later_is_only_a_death(supervise, eventually, tmp_path):
    code = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); was = p.exists(); p.touch(); "
        "print('up', flush=True); sys.exit(2 if was else 1)"
    )
    command = (sys.executable, "-c", code, str(tmp_path / "mark"))
    _, said, end = supervise(Program(name="a", command=command))
    assert eventually(lambda: said.count(("a", "up")) >= 3)
    assert end() == 0


def test_a_program_that_may_end_is_left_alone_then(supervise, eventually):
    _, said, end = supervise(
        python("a", "print('up')", when_done=WhenDone.LEAVE), python("b", SLEEP)
    )
    assert eventually(lambda: ("a", "has come to its end") in said)
    time.sleep(0.2)
    assert said.count(("a", "up")) == 1
    assert end() == 0


def test_a_program_that_may_end_is_started_again_when_it_fails(supervise, eventually):
    _, said, _ = supervise(
        python("a", "print('up'); raise SystemExit(1)", when_done=WhenDone.LEAVE)
    )
    assert eventually(lambda: said.count(("a", "up")) >= 2)


def test_a_program_that_is_done_in_its_first_run_ends_everything(supervise, eventually):
    found, said, end = supervise(
        python("good", SLEEP), python("done", "print('built')", when_done=WhenDone.END_ALL)
    )
    assert eventually(found._stopping.is_set)
    assert end() == 0
    assert [line for name, line in said if name == "done"] == [
        "built",
        "is done; ending the others",
    ]
    assert not pid_of(found, "good")


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "os.kill(os.getpid(), 9)"])
def test_a_program_that_failed_before_it_was_done_ends_nothing(
    supervise, eventually, tmp_path, code
):
    code = (
        "import os, pathlib, sys; p = pathlib.Path(sys.argv[1]); was = p.exists(); p.touch()\n"
        f"print('up', flush=True)\nif not was: {code}"
    )
    command = (sys.executable, "-c", code, str(tmp_path / "mark"))
    program = Program(name="a", command=command, when_done=WhenDone.END_ALL)
    _, said, _ = supervise(program)
    assert eventually(lambda: said.count(("a", "up")) >= 3)
    assert ("a", "ended with exit code 0; starting it again in 0.1 s") in said


def test_a_program_that_does_not_listen_is_killed(supervise, eventually, monkeypatch):
    monkeypatch.setattr(module, "_STOP_S", 0.3)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    found, said, end = supervise(python("deaf", deaf + SLEEP), python("b", SLEEP))
    assert eventually(lambda: ("deaf", "up") in said and ("b", "up") in said)
    pid = pid_of(found, "deaf")
    assert end() == 0
    assert not is_alive(pid)
    assert [name for name, line in said if "killing it" in line] == ["deaf"]


def test_what_a_program_started_ends_with_it(supervise, eventually):
    code = (
        "import subprocess, sys, time; "
        f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], stdout=subprocess.DEVNULL); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    _, said, end = supervise(python("a", code))
    assert eventually(lambda: said)
    grandchild = int(said[0][1])
    assert is_alive(grandchild)
    end()
    assert eventually(lambda: not is_alive(grandchild) or is_zombie(grandchild))


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_program_that_is_not_there_is_told(monkeypatch):
    found = Supervisor([Program(name="a", command=("/nonsense/program",))], lambda *said: None)
    with pytest.raises(OSError, match="nonsense"):
        found.run()


PARENT = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests may ignore it
from owseg_ros.commands.supervisor import Program, Supervisor
child = (
    "from owseg_ros.commands.options import end_with_stdin; import os, time; end_with_stdin(); "
    "print(os.getpid(), flush=True); time.sleep(60)"
)
say = lambda name, line: print(line, flush=True)
sys.exit(Supervisor([Program(name="a", command=(sys.executable, "-c", child))] * 2, say).run())
"""


@pytest.fixture
def parent():
    """Start a supervisor as a process; give it and the ids of its children."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT
    )
    pids = [int(process.stdout.readline()) for _ in range(2)]
    yield process, pids
    for pid in (*pids, process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_children_end_when_the_supervisor_is_killed(parent, eventually):
    process, pids = parent
    process.kill()
    process.wait()
    assert eventually(lambda: not any(is_alive(pid) and not is_zombie(pid) for pid in pids), 10)


def test_a_closed_terminal_does_not_matter_under_nohup(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        found = Supervisor(
            [python("a", "import os; os.kill(os.getppid(), 1); print('sent')")],
            lambda name, line: line == "sent" and found.stop(),
        )
        assert found.run() == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(parent, number):
    process, pids = parent
    process.send_signal(number)
    assert process.wait(20) == 0
    assert not any(map(is_alive, pids))
