#!/usr/bin/env python3
"""Two commands that do all set-up: `python3 dev.py demo` and `python3 dev.py test`.

Both make a virtual environment in .venv, install what they need and run.
Only the standard library is used here.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
OLDEST = (3, 10)


def run(*command: object) -> None:
    """Run a command in the repository root; exit with its code if it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def make_venv() -> None:
    """Create .venv unless it is there."""
    if (BIN / "python").exists() or (BIN / "python.exe").exists():
        return
    code = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode
    if code:
        sys.exit("dev.py: cannot make .venv; on Debian and Ubuntu: apt install python3-venv")


def install(extras: str, *more: object) -> None:
    """Install the project as it is now, with its dependencies."""
    print("dev.py: installing into .venv", file=sys.stderr)
    pip = (BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if more:
        run(*pip, *more)
    run(*pip, f"{ROOT}{extras}")
    run(*pip, "--no-deps", "--force-reinstall", ROOT)


def demo(arguments: list[str]) -> None:
    """Replay a generated drive through the shipped model."""
    install("")
    run(BIN / "owseg", "demo", *arguments)


def test(arguments: list[str]) -> None:
    """Lint, check types, run all tests against the installed package."""
    install("[train,test]", "-r", "requirements/test.txt")
    run(BIN / "ruff", "check", ".")
    run(BIN / "mypy")
    run(BIN / "pytest", "-n", "2", *arguments)


COMMANDS = {"demo": demo, "test": test}


def main() -> None:
    """Run the command that is named first."""
    if sys.version_info < OLDEST:
        sys.exit("dev.py: needs Python 3.10 or later")
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit("usage: python3 dev.py demo|test [arguments for owseg demo or pytest]")
    make_venv()
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
