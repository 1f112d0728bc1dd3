"""A submission server for the tests of mail. Prints its port, then each mail as a line of JSON.

Usage: mail_server.py tls|starttls CERT KEY

Wants the login user / pa ss. A mail to busy@... is put off, one to nobody@... is refused.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("busy@"):
            return "451 4.3.0 come back later"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps(
                {
                    "to": envelope.rcpt_tos,
                    "tls": session.ssl is not None or sys.argv[1] == "tls",
                    "headers": {name: str(value) for name, value in mail.items()},
                    "text": mail.get_content(),
                }
            ),
            flush=True,
        )
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, login):
    good = login.login == b"user" and login.password == b"pa ss"
    return AuthResult(success=good, handled=False)


async def main():
    mode, cert, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def session():
        starttls = mode == "starttls"
        return SMTP(
            Handler(),
            hostname="mail.example.com",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=True,
            auth_require_tls=starttls,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    wrapped = context if mode == "tls" else None
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
