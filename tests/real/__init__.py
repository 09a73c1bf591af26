"""Real servers with throw-away configuration on loopback: Dovecot, Postfix, nginx.

Each is a context manager that starts the server of the distribution on free high ports in a folder of its own, and
leaves nothing behind. `conftest.py` has them as fixtures, `up.py` starts all three for work by hand:

    python -m tests.real.up

    Dovecot   IMAP, POP3, LMTP and authentication, as an ordinary user     dovecot.py, dovecot_config.py
    Postfix   submission, smtps and plain SMTP; needs root                 postfix.py, postfix_config.py
    Nginx     http and https                                               nginx.py, nginx_config.py
    Daemon    what they have in common: start, wait, stop                  daemon.py
"""
