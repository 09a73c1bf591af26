"""main: arguments in, exit status out, and errors in a line or two."""

import subprocess
import sys

import pytest

import asyncnet
from asyncnet import ConnectError, UsageError
from asyncnet.cli import main as main_module
from tests.cli.running import ROOT, environment, process, run


def test_python_m_asyncnet_is_the_command():
    ran = process("--version")
    assert (ran.status, ran.out) == (0, f"asyncnet, version {asyncnet.__version__}\n")


@pytest.mark.parametrize("command", [(), ("echo",), ("fetch",), ("post",), ("send",)], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_standard_output(capsys, command, option):
    ran = run(capsys, *command, option)
    assert ran.status == 0
    assert "Usage: asyncnet" in ran.out
    assert ran.err == ""


def test_without_a_command_there_is_help_and_status_2(capsys):
    ran = run(capsys)
    assert ran.status == 2
    assert "Commands:" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["fetch", "--frobnicate"], "No such option"),
        (["fetch", "--limit", "0", "http://a/"], "--limit"),
        (["fetch", "--timeout", "0", "http://a/"], "--timeout"),
        (["fetch", "--max-bytes", "many", "http://a/"], "no number of bytes"),
        (["fetch", "--ca", "/nonexistent", "https://a/"], "--ca"),
        (["fetch"], "nothing to fetch"),
        (["fetch", "nonsense"], "not a URL"),
        (["fetch", "smtp://a"], "smtp:// is not for this command"),
        (["fetch", "http://a/", "https://alice:secret@a/"], "a password in the URL"),
        (["fetch", "-i", "/nonexistent/urls"], "cannot read /nonexistent/urls: No such file"),
        (["fetch", "http://a/", "--proxy", "ftp://a"], "a proxy is"),
        (["echo", "http://a/"], "serve takes tcp://"),
        (["echo", "tls://127.0.0.1:0"], "--tls-cert FILE"),
        (["post", "tcp://a:1"], "tcp:// is not for this command"),
        (["post"], "Missing argument 'URL'"),
        (["send", "a.eml"], "give one URL"),
        (["send", "http://a/", "a.eml", "--from", "a@b.c", "--to", "a@b.c"], "http:// is not for this command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_status_2_and_a_helpful_line(capsys, arguments, line):
    ran = run(capsys, *arguments)
    assert ran.status == 2
    assert ran.err.startswith("error: ")
    assert line in ran.err
    assert "Traceback" not in ran.err
    assert "secret" not in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 2),
        (ConnectError("x"), 3),
        (ConnectError("x", transient=False), 1),
        (OSError("x"), 1),
        (BrokenPipeError(), 1),
        (KeyboardInterrupt(), 130),
        (SystemExit(7), 7),
        (SystemExit("x"), 1),
    ],
    ids=repr,
)
def test_each_error_has_its_status(capsys, monkeypatch, error, status):
    def fail(**_):
        raise error

    monkeypatch.setattr(main_module.cli, "main", fail)
    assert run(capsys, "fetch").status == status


def test_the_command_imports_no_protocol_before_it_is_needed():
    code = "import sys, asyncnet.cli.main; print({'aiohttp', 'aioimaplib', 'aiosmtplib', 'rich'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr
