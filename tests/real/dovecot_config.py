"""Dovecot's configuration: everything as one unprivileged user, nothing outside of one folder."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

MECHANISMS = (
    "plain",
    "login",
    "cram-md5",
    "digest-md5",
    "scram-sha-1",
    "scram-sha-256",
    "apop",
    "xoauth2",
    "oauthbearer",
)

_MAIN = Template("""\
base_dir = $folder/run
state_dir = $folder/state
log_path = $folder/dovecot.log
listen = 127.0.0.1, 127.0.0.2
protocols = imap pop3 lmtp
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
# Eight sessions of each of many tests at once, all from one address.
default_client_limit = 4000
default_process_limit = 400
mail_max_userip_connections = 1000
import_environment = TZ
first_valid_uid = 1
postmaster_address = postmaster@example.org
hostname = mail.example.org
submission_host = 127.0.0.1:1

ssl = yes
ssl_cert = <$folder/server.pem
ssl_key = <$folder/server.key

disable_plaintext_auth = no
auth_mechanisms = $mechanisms
auth_username_format = %Ln
auth_failure_delay = 0
# 127.0.0.2 takes no secret before TLS: LOGINDISABLED, and no USER in CAPA.
local 127.0.0.2 {
  ssl = required
  disable_plaintext_auth = yes
}

mail_location = maildir:~/Maildir
mail_fsync = never
mail_plugins = zlib
protocol imap {
  mail_plugins = zlib imap_zlib
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
}

passdb {
  driver = oauth2
  args = $folder/oauth2.conf
  mechanisms = xoauth2 oauthbearer
}
passdb {
  driver = passwd-file
  override_fields = nodelay=y
  args = scheme=PLAIN username_format=%u $folder/passwd
  mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 apop
}
# Whoever comes as far as here has failed. This one says no as well, but with the field nodelay: a wrong password is
# answered at once and not half a second later. (Against repeated failures see service anvil: no penalty.) Tokens are
# left out, for a refused one shall see its challenge.
passdb {
  driver = static
  mechanisms = plain login
  args = nopassword=y nodelay=y
  result_success = return-fail
}
userdb {
  driver = passwd-file
  args = username_format=%u $folder/passwd
  default_fields = uid=$uid gid=$gid home=$folder/homes/%u
}

service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  inet_listener sasl {
    address = 127.0.0.1
    port = $sasl
  }
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  inet_listener imap {
    port = $imap
  }
  inet_listener imaps {
    port = $imaps
  }
}
service pop3-login {
  chroot =
  service_count = 0
  inet_listener pop3 {
    port = $pop3
  }
  inet_listener pop3s {
    port = $pop3s
  }
}
service imap {
  service_count = 100
}
service pop3 {
  service_count = 100
}
service lmtp {
  user = $user
  inet_listener lmtp {
    address = 127.0.0.1
    port = $lmtp
  }
}
service ipc {
  chroot =
}
service director {
  chroot =
}
""")

_OAUTH2 = Template("""\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix=$folder/keys/
username_attribute = sub
scope =
""")


def write(folder: Path, ports: Mapping[str, int], user: str, group: str, uid: int, gid: int, key: str) -> None:
    """Write dovecot.conf, and what it names, into `folder`.

    Args:
        folder: where everything is.
        ports: imap, imaps, pop3, pop3s, lmtp and sasl.
        user: who runs all of it.
        group: the user's group.
        uid: the number of the user.
        gid: the number of the group.
        key: the key that signs tokens, in base64.
    """
    values = {"folder": folder, "user": user, "group": group, "uid": uid, "gid": gid, **ports}
    for name in ("run", "state", "homes"):
        (folder / name).mkdir()
    keys = folder / "keys" / "default" / "HS256"
    keys.mkdir(parents=True)
    (keys / "default").write_text(key)
    (folder / "oauth2.conf").write_text(_OAUTH2.substitute(values))
    (folder / "dovecot.conf").write_text(_MAIN.substitute(values, mechanisms=" ".join(MECHANISMS)))
