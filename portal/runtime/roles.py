"""The two database roles: an owner that changes the schema, and the application, which owns nothing.

Says which rights the application has on what the owner creates; migrations take some of them away again
(the ledger cannot be changed). Never creates tables.
"""

from typing import LiteralString

import psycopg
from psycopg import sql

# In order; "default privileges" are those on everything that the owner creates from then on.
OPEN_DATABASE: tuple[LiteralString, ...] = (
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {application}",
    "GRANT USAGE ON SCHEMA public TO {application}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public "
    "GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON TABLES TO {application}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO {application}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO {application}",
)


def create_roles(
    connection: psycopg.Connection,
    *,
    owner: str,
    owner_password: str,
    application: str,
    application_password: str,
    database: str,
) -> None:
    """Make the roles and the owner's database, or bring them up to date; repeating it changes nothing.

    `connection` is a superuser's, in autocommit mode.
    """
    for role, password, rights in (
        (owner, owner_password, "LOGIN NOSUPERUSER CREATEDB NOCREATEROLE"),
        (application, application_password, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"),
    ):
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        connection.execute(
            sql.SQL("{verb} ROLE {role} {rights} PASSWORD {password}").format(
                verb=sql.SQL("ALTER" if known else "CREATE"),
                role=sql.Identifier(role),
                rights=sql.SQL(rights),
                password=sql.Literal(password),
            )
        )
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
        )


def open_database(connection: psycopg.Connection, *, application: str) -> None:
    """Let the application role into the database of `connection`, which is its owner's.

    Tables that the owner creates from now on can be read and written by the application.
    """
    names = {
        "application": sql.Identifier(application),
        "database": sql.Identifier(connection.info.dbname),
    }
    for statement in OPEN_DATABASE:
        connection.execute(sql.SQL(statement).format(**names))
