"""The README does what it says, from its first line to its last."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_snippets_print_what_they_say(tmp_path, monkeypatch):
    for name in ("numpy", "pandas", "scapy", "dpkt", "hypothesis"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    names, checked = {"__name__": "guide"}, 0
    blocks = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
    for number, (kind, text) in enumerate(blocks):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(text, names)
            following, printed = blocks[number + 1]
            if following == "text":
                assert out.getvalue() == printed, text
                checked += 1
        elif kind == "console":
            checked += run_console(text)
    assert checked >= 10


def run_console(text):
    """Runs the commands of a block, each after a $, and compares what they print."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    for command, printed in commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
        assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0), command
    return len(commands)
