"""main: arguments in, exit status out, and errors in a line or two."""

import signal
import subprocess
import sys
import time

import pytest

import asyncnet
from asyncnet import ConnectError, UsageError
from asyncnet.cli import commands
from tests.cli.running import ROOT, environment, process, run, started
from tests.peers import Script


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

    monkeypatch.setattr(commands.cli, "main", fail)
    assert run(capsys, "fetch").status == status


def test_the_command_imports_no_protocol_before_it_is_needed():
    code = "import sys, asyncnet.cli.main; print({'aiohttp', 'aioimaplib', 'aiosmtplib', 'rich'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr


# As an import hook: an interrupt comes while this module loads.
_INTERRUPTED = """
import importlib.abc, os, signal, sys
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from asyncnet.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["click", "asyncnet.cli.commands", "asyncnet.jobs.runner", "asyncnet.cli.send"])
def test_an_interrupt_while_it_loads_is_a_line_and_status_130(module):
    program = _INTERRUPTED.format(module=module)
    ended = subprocess.run(
        [sys.executable, "-c", program, "--version"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_before_a_command_has_begun_is_a_line_and_status_130(capsys, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.cli, "main", interrupted)
    ran = run(capsys, "fetch")
    assert (ran.status, ran.err) == (130, "interrupted\n")


def test_whoever_calls_it_keeps_his_handlers(capsys):
    before = signal.getsignal(signal.SIGINT)
    assert run(capsys, "--version").status == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_whenever_it_is_interrupted_it_ends_by_that():
    """From when the package itself is loaded; before that the interpreter alone is at work, and nobody can say."""
    with Script("silence", repeat=True, check=False) as peer:
        for at in range(16):
            with started("fetch", f"http://{peer.address}/") as child:
                time.sleep(0.12 + at * 0.03)
                child.send_signal(signal.SIGINT)
                _, err = child.communicate(timeout=30)
            if child.returncode != -signal.SIGINT:  # the interpreter's own end
                assert (child.returncode, err) in ((130, "interrupted\n"), (130, "interrupted: 0 done\n")), at
