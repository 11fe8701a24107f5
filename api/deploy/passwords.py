"""Passwords of the roles that log in, for servers that ask for one."""

import os

from psycopg import Connection, sql

VARIABLES = {"authenticator": "AUTHENTICATOR_PASSWORD", "edge": "EDGE_PASSWORD"}


def set_role_passwords(connection: Connection) -> None:
    """Set the passwords given in the environment; without one a role keeps what it has.

    Only the SCRAM verifier is sent, so that no server log ever holds a password.
    """
    for role, variable in VARIABLES.items():
        password = os.environ.get(variable)
        if password:
            verifier = connection.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            )
            connection.execute(
                sql.SQL("alter role {} password {}").format(
                    sql.Identifier(role), sql.Literal(verifier.decode())
                )
            )
