"""Who signs in where: the order of names and secrets, and that a secret goes to nobody whom it is not for."""

import pytest

from asyncnet import Credentials, Endpoint, UsageError
from asyncnet.cli.login import Login

IMAP = Endpoint.parse("imaps://mail.example.org/INBOX")
ALICE = Endpoint.parse("imaps://alice@mail.example.org/INBOX")
PAGE = Endpoint.parse("https://example.org/")
RELAY = Endpoint.parse("smtp+starttls://mail.example.org")
NETRC = """
machine mail.example.org login alice password from-netrc
machine example.org login web password from-netrc-too
default login anybody password for-all
"""


@pytest.fixture
def netrc_file(tmp_path):
    path = tmp_path / "netrc"
    path.write_text(NETRC)
    return str(path)


def login(*arguments, **environ) -> Login:
    return Login(*arguments, environ={"HOME": "/nonexistent"} | environ)


async def secret_of(credentials: Credentials | None) -> tuple[str, str]:
    assert credentials is not None
    return credentials.username, await credentials.secret()


async def test_the_user_of_the_url_comes_first():
    found = await login("alice", ASYNCNET_PASSWORD="pw").credentials(ALICE)
    assert await secret_of(found) == ("alice", "pw")


async def test_a_user_of_the_url_does_not_get_the_secret_of_another(monkeypatch):
    monkeypatch.setattr("asyncnet.cli.login.os.open", _no_terminal)
    with pytest.raises(UsageError, match="no password for 'alice'"):
        await login(ASYNCNET_USERNAME="bob", ASYNCNET_PASSWORD="pw").credentials(ALICE)
    with pytest.raises(UsageError, match="no password for 'alice'"):
        await login("bob", "echo pw").credentials(ALICE)


async def test_the_option_comes_before_the_environment():
    found = await login("carol", ASYNCNET_USERNAME="bob", ASYNCNET_PASSWORD="pw").credentials(IMAP)
    assert await secret_of(found) == ("carol", "pw")


async def test_the_environment_names_the_user():
    found = await login(ASYNCNET_USERNAME="bob", ASYNCNET_PASSWORD="pw").credentials(IMAP)
    assert await secret_of(found) == ("bob", "pw")


async def test_without_any_name_it_is_whoever_runs_the_program(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert await secret_of(await login(ASYNCNET_PASSWORD="pw").credentials(IMAP)) == ("me", "pw")


async def test_secrets_come_in_their_order(tmp_path, netrc_file):
    for name in ("password", "token"):
        (tmp_path / name).write_text(f"file-{name}\nsecond line\n")
    environ = {
        "ASYNCNET_PASSWORD": "env-password",
        "ASYNCNET_PASSWORD_FILE": str(tmp_path / "password"),
        "ASYNCNET_TOKEN": "env-token",
        "ASYNCNET_TOKEN_FILE": str(tmp_path / "token"),
        "NETRC": netrc_file,
    }
    assert (await secret_of(await login(None, "echo cmd", "echo t", **environ).credentials(ALICE)))[1] == "cmd"
    assert (await secret_of(await login(None, None, "echo token", **environ).credentials(ALICE)))[1] == "token"
    found = []
    while environ:
        found.append((await secret_of(await login(**environ).credentials(ALICE)))[1])
        del environ[next(iter(environ))]
    assert found == ["env-password", "file-password", "env-token", "file-token", "from-netrc"]


async def test_tokens_are_tokens_and_passwords_are_not(tmp_path):
    (tmp_path / "token").write_text("one\n")
    by_file = await login(ASYNCNET_TOKEN_FILE=str(tmp_path / "token")).credentials(ALICE)
    assert by_file is not None
    assert by_file.is_token
    assert await by_file.secret() == "one"
    (tmp_path / "token").write_text("two\n")
    assert await by_file.secret() == "two", "read anew for each login"
    by_password = await login(ASYNCNET_PASSWORD="x").credentials(ALICE)
    assert by_password is not None
    assert not by_password.is_token


async def test_the_password_command_runs_once_and_the_token_command_for_each_login(tmp_path):
    count = tmp_path / "count"
    command = f"echo x >> {count}; echo secret"
    passwords = login(None, command)
    await passwords.credentials(ALICE)
    await passwords.credentials(Endpoint.parse("pop3s://alice@other.example.org"))
    assert count.read_text() == "x\n"
    tokens = await login(None, None, command).credentials(ALICE)
    assert tokens is not None
    assert [await tokens.secret() for _ in range(2)] == ["secret", "secret"]
    assert count.read_text() == "x\n" * 3


@pytest.mark.parametrize(("command", "why"), [("exit 3", "status 3"), ("true", "no secret"), ("echo", "no secret")])
async def test_a_command_that_prints_no_secret_is_a_usage_error(command, why):
    with pytest.raises(UsageError, match=why):
        await login(None, command).credentials(ALICE)


async def test_a_file_without_a_secret_is_a_usage_error(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match="no secret"):
        await login(ASYNCNET_PASSWORD_FILE=str(tmp_path / "empty")).credentials(ALICE)
    with pytest.raises(UsageError, match="cannot read"):
        await login(ASYNCNET_PASSWORD_FILE=str(tmp_path / "missing")).credentials(ALICE)


async def test_netrc_names_user_and_password_of_a_host(netrc_file):
    assert await secret_of(await login(NETRC=netrc_file).credentials(IMAP)) == ("alice", "from-netrc")
    assert await secret_of(await login(NETRC=netrc_file).credentials(PAGE)) == ("web", "from-netrc-too")
    assert await secret_of(await login(NETRC=netrc_file).credentials(RELAY)) == ("alice", "from-netrc")


async def test_the_default_entry_of_netrc_is_for_nobody(netrc_file, monkeypatch):
    monkeypatch.setattr("asyncnet.cli.login.os.open", _no_terminal)
    assert await login(NETRC=netrc_file).credentials(Endpoint.parse("https://other.example.org/")) is None
    assert await login(NETRC=netrc_file).credentials(Endpoint.parse("https://default/")) is None
    with pytest.raises(UsageError):
        await login(NETRC=netrc_file).credentials(Endpoint.parse("imaps://other.example.org/"))


async def test_what_netrc_has_for_a_host_is_no_reason_to_sign_in_over_plaintext(netrc_file):
    assert await login(NETRC=netrc_file).credentials(Endpoint.parse("http://example.org/")) is None
    assert await login(NETRC=netrc_file).credentials(Endpoint.parse("smtp://mail.example.org")) is None


async def test_an_own_netrc_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / ".netrc"
    file.write_text(NETRC)
    file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        await login(HOME=str(tmp_path)).credentials(IMAP)
    file.chmod(0o600)
    assert await secret_of(await login(HOME=str(tmp_path)).credentials(IMAP)) == ("alice", "from-netrc")


async def test_a_broken_netrc_is_a_usage_error_that_does_not_repeat_it(tmp_path):
    (tmp_path / "netrc").write_text("machine a login b password c hunter2")
    with pytest.raises(UsageError, match="line 1") as caught:
        await login(NETRC=str(tmp_path / "netrc")).credentials(IMAP)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="NETRC names"):
        await login(NETRC=str(tmp_path / "missing")).credentials(IMAP)


async def test_nobody_signs_in_where_nobody_need():
    assert await login().credentials(PAGE) is None
    assert await login().credentials(Endpoint.parse("smtp://mail.example.org")) is None
    assert await login().credentials(Endpoint.parse("tcp://a:1")) is None


async def test_in_a_list_of_pages_a_secret_goes_to_those_alone_that_name_the_user():
    everywhere = login("alice", "echo pw")
    assert await everywhere.credentials(PAGE, by_default=False) is None
    named = Endpoint.parse("https://alice@example.org/")
    assert await secret_of(await everywhere.credentials(named, by_default=False)) == ("alice", "pw")
    assert await secret_of(await everywhere.credentials(PAGE)) == ("alice", "pw")


def _no_terminal(*_):
    raise OSError(6, "No such device or address")
