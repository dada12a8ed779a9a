"""python -m lvs: what it prints, and what it says when something is wrong."""

import io
import subprocess
import sys
from pathlib import Path

import lvs
import pytest
from lvs.__main__ import main
from lvs.packets import tcp, udp

from conftest import RULES


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "web.rules"
    path.write_text(RULES)
    return str(path)


@pytest.fixture
def capture(tmp_path):
    packets = [
        tcp("198.51.100.9:1000", "192.0.2.10:80"),
        tcp("10.0.0.101:8080", "198.51.100.9:1000", flags="SA"),
        udp("198.51.100.9:1000", "192.0.2.10:53"),
        b"E",
    ]
    path = tmp_path / "in.pcap"
    lvs.captures.write(path, enumerate(packets))
    return str(path)


def test_listing(rules, capsys):
    assert main(["listing", rules]) == 0
    assert "10.0.0.101:8080              Masq" in capsys.readouterr().out
    assert main(["listing", "--save", rules]) == 0
    assert capsys.readouterr().out == RULES.replace("-m\n", "-m -w 1\n")


def test_rules_from_the_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(RULES))
    assert main(["listing", "-"]) == 0
    assert "192.0.2.10:80 rr" in capsys.readouterr().out


def test_explain(rules, capsys, syn):
    assert main(["explain", rules, syn.hex()]) == 0
    assert "rr chooses 10.0.0.101:8080" in capsys.readouterr().out
    assert main(["explain", rules, syn.hex(), "--mark", "0x5"]) == 0


def test_replay(rules, capture, tmp_path, capsys):
    assert main(["replay", rules, capture, "--verbose", "--write", str(tmp_path / "out.pcap")]) == 0
    out = capsys.readouterr().out
    for line in (
        "       1  0.000000  forward to-server (nat) to 10.0.0.101",
        "       2  1.000000  forward to-client (nat) to 198.51.100.9",
        "       3  2.000000  pass (no-service)",
        "       4  3.000000  drop (truncated-ip)",
        "       1  forward to-server",
        "TCP  192.0.2.10:80 rr",
    ):
        assert line in out.splitlines()
    assert [time for time, _ in lvs.captures.Capture(tmp_path / "out.pcap")] == [0.0, 1.0]


@pytest.mark.parametrize(
    "line, message",
    [
        (["listing", "nowhere.rules"], "lvs: nowhere.rules: No such file or directory"),
        (["listing", "BINARY"], "binary: not a text in utf-8"),
        (["listing", "WRONG"], "line 1, column 1: `make`"),
        (["replay", "RULES", "nowhere.pcap"], "nowhere.pcap"),
        (["replay", "RULES", "CAPTURE", "--write", "CAPTURE"], "is the capture that is read"),
        (["replay", "RULES", "RULES"], "not a capture"),
        (["explain", "RULES", "45", "--tunnel-source", "nowhere"], "'nowhere'"),
    ],
)
def test_errors_are_one_line(line, message, rules, capture, tmp_path, capsys):
    (tmp_path / "wrong").write_text("make it fast")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    before = Path(capture).read_bytes()
    files = {"RULES": rules, "WRONG": str(tmp_path / "wrong"), "BINARY": str(tmp_path / "binary"), "CAPTURE": capture}
    assert main([files.get(word, word) for word in line]) == 1
    assert Path(capture).read_bytes() == before
    captured = capsys.readouterr()
    assert captured.err.startswith("lvs: ") and captured.err.count("\n") == 1 and captured.out == ""
    assert message.replace('"', "'") in captured.err.replace('"', "'")


def test_nobody_needs_to_read_to_the_end(rules):
    listing = subprocess.Popen(
        [sys.executable, "-m", "lvs", "listing", rules], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    listing.stdout.close()
    assert (listing.stderr.read(), listing.wait()) == ("", 1)
    listing.stderr.close()


WRONG = [
    [],
    ["fly"],
    ["explain", "r"],
    ["explain", "r", "4g"],
    ["explain", "r", "45", "--mark", "-1"],
    ["explain", "r", "45", "--mark", "0x100000000"],
    ["replay", "r", "p", "--seed", "x"],
]


@pytest.mark.parametrize("line", WRONG)
def test_wrong_lines_are_explained(line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2 and "usage: python -m lvs" in capsys.readouterr().err


@pytest.mark.parametrize("line", [[], ["replay"], ["listing"], ["explain"]])
def test_help_is_there(line, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*line, "--help"])
    assert ended.value.code == 0 and "usage: python -m lvs" in capsys.readouterr().out
