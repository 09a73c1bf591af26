"""A POP3 server of Twisted's over the files of a folder: python twisted_pop3.py FOLDER; it prints its port."""

import pathlib
import sys
from io import BytesIO

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import protocol, reactor
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Mailbox:  # Twisted's own, of Maildirs, mixes str and bytes
    def __init__(self):
        self.paths = sorted(pathlib.Path(sys.argv[1]).iterdir())
        self.gone = set()

    def size(self, number):
        return 0 if number in self.gone else len(self.paths[number].read_bytes())

    def listMessages(self, index=None):
        return [self.size(n) for n in range(len(self.paths))] if index is None else self.size(index)

    def getMessage(self, index):
        if index in self.gone:
            raise IndexError(index)
        return BytesIO(self.paths[index].read_bytes().replace(b"\r\n", b"\n"))

    def getUidl(self, index):
        return self.paths[index].name.encode()

    def deleteMessage(self, index):
        self.gone.add(index)

    def undeleteMessages(self):
        self.gone.clear()

    def sync(self):
        for number in self.gone:
            self.paths[number].unlink()


class Realm:
    def requestAvatar(self, avatar, mind, *interfaces):
        return pop3.IMailbox, Mailbox(), lambda: None


class Server(pop3.POP3):
    schemes = {}  # noqa: RUF012 (as its parent has it)


checker = InMemoryUsernamePasswordDatabaseDontUse()
checker.addUser(b"me", b"secret")
factory = protocol.Factory()


def build(address):
    server = Server()
    server.portal = Portal(Realm(), [checker])
    server.factory = factory
    return server


factory.buildProtocol = build
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
