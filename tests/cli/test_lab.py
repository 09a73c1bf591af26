"""asyncnet lab: servers for any application, from the first line printed to the signal that ends them."""

import json
import poplib
import signal
import smtplib
import ssl
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.running import PATIENCE, process, run, started


def place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_with_0(number: signal.Signals) -> None:
    with started("lab", "--account", "ada", "--domain", "example.net", "-q") as child:
        places = json.loads(child.stdout.readline())
        assert (places["username"], places["password"], places["mail_to"]) == ("ada", "secret", "ada@example.net")
        context = ssl.create_default_context(cafile=places["ca"])
        with smtplib.SMTP(*place(places["smtp"])) as client:
            client.starttls(context=context)
            client.login("ada", "secret")
            client.sendmail("x@example.org", places["mail_to"], "Subject: one\r\n\r\nbody")
        drop = poplib.POP3_SSL(*place(places["pop3_in_tls"]), context=context)
        drop.user("ada")
        drop.pass_("secret")
        assert drop.stat()[0] == 1
        drop.quit()
        with urllib.request.urlopen(places["page"], timeout=PATIENCE) as answer:
            assert b"asyncnet lab" in answer.read()
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (0, "", "")
    assert not Path(places["ca"]).exists()


def test_ports_and_the_file_of_the_authority_are_where_they_are_asked_for(tmp_path: Path) -> None:
    with started("lab", "-q") as child:
        port = place(json.loads(child.stdout.readline())["smtp"])[1]
        taken = process("lab", "--smtp", port)
        assert taken.status == 3
        assert str(port) in taken.err
        child.send_signal(signal.SIGTERM)
        child.wait(PATIENCE)
    with started("lab", "--smtp", port, "--ca", tmp_path / "ca.pem") as child:
        places = json.loads(child.stdout.readline())
        assert place(places["smtp"])[1] == port
        assert (tmp_path / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0


def test_chaos_strikes_by_its_rate() -> None:
    with started("lab", "-q", "--chaos", "1", "--seed", "7") as child:
        places = json.loads(child.stdout.readline())
        with pytest.raises((smtplib.SMTPException, OSError)):
            for _ in range(20):
                with smtplib.SMTP(*place(places["smtp"]), timeout=5) as client:
                    client.sendmail("x@example.org", places["mail_to"], "Subject: one\r\n\r\nbody")
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--smtp", "70000"],
        ["--chaos", "2"],
        ["--account", "a", "--account", "A"],
        ["--chaos", "x"],
        ["--ca", "/nowhere/ca.pem"],
    ],
)
def test_what_cannot_be_is_wrong_usage(capsys, words: list[str]) -> None:
    assert run(capsys, "lab", *words).status == 2


@pytest.mark.parametrize(("options", "line"), [(["--account", ""], "a username is"), (["--domain", ""], "a domain is")])
def test_a_name_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str], options: list[str], line: str) -> None:
    ran = run(capsys, "lab", *options)
    assert ran.status == 2
    assert line in ran.err
