"""Postfix's configuration: its own queue, loopback only, no rate limits, no change to the messages, mail to Dovecot."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

_LONG_AGO = 1_000_000_000
"""Postfix reads a file that was just written again and again, for over a second: somebody might still be writing."""

_MAIN = Template("""\
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
command_directory = $sbin
daemon_directory = $daemons
mail_owner = postfix
setgid_group = postdrop
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder
myhostname = mail.example.org
mydomain = example.org
myorigin = example.org
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
biff = no
# Nothing leaves this machine, and nobody is asked about anything.
default_transport = error:5.4.4 mail for elsewhere stays here
relay_transport = error:5.4.4 mail for elsewhere stays here
smtp_dns_support_level = disabled
lmtp_dns_support_level = disabled
smtpd_peername_lookup = no

# Where mail goes: to Dovecot, or nowhere.
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{ $mailboxes }, regexp:$folder/mailboxes
virtual_transport = lmtp:inet:127.0.0.1:$lmtp
relay_domains = discard.example.org
transport_maps = inline:{ { discard.example.org = discard: } }
recipient_delimiter = +

# Big, fast, and unchanged.
message_size_limit = 209715200
mailbox_size_limit = 0
virtual_mailbox_limit = 0
queue_minfree = 0
header_size_limit = 10240000
lmtp_line_length_limit = 0
disable_mime_output_conversion = yes
local_header_rewrite_clients =
lmtp_destination_concurrency_limit = 20
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_junk_command_limit = 1000
smtpd_recipient_limit = 10000
minimal_backoff_time = 1s
queue_run_delay = 1s

smtpd_tls_cert_file = $folder/server.pem
smtpd_tls_key_file = $folder/server.key
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:$sasl
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions =
smtpd_recipient_restrictions =
  check_recipient_access inline:{
    { refused@example.org = 550 5.7.1 mail for this address is refused }
    { later@example.org = 450 4.2.1 mail for this address is deferred }
  }
  permit_sasl_authenticated
  $${mynetworks_permitted}
  reject
mynetworks_permitted = permit_mynetworks
""")

_MASTER = Template("""\
127.0.0.1:$submission inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o mynetworks_permitted=
127.0.0.1:$smtps inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o mynetworks_permitted=
127.0.0.1:$smtp inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
""")


def write(folder: Path, ports: Mapping[str, int], paths: Mapping[str, str], addresses: Iterable[str]) -> None:
    """Write main.cf, master.cf and what they name into `folder`/config.

    Args:
        folder: where everything is.
        ports: submission, smtps and smtp, and Dovecot's lmtp and sasl.
        paths: where Postfix is: sbin and daemons.
        addresses: who has a mailbox; besides, everybody called user and a number.
    """
    config = folder / "config"
    config.mkdir()
    mailboxes = " ".join(f"{{ {address} = yes }}" for address in addresses)
    values = {"folder": folder, "mailboxes": mailboxes, **ports, **paths}
    (config / "main.cf").write_text(_MAIN.substitute(values))
    (config / "master.cf").write_text(_MASTER.substitute(values))
    (folder / "mailboxes").write_text(r"/^user[0-9]+(\+.*)?@example\.org$/ yes" + "\n")
    for path in (*config.iterdir(), folder / "mailboxes"):
        os.utime(path, (_LONG_AGO, _LONG_AGO))
