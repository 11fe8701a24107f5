"""Is the process up, and can it serve?"""

import psycopg
from flask import Blueprint, Response, jsonify

from api.db import database
from api.errors import ApiError

blueprint = Blueprint("health", __name__)

# The catalogs are open to every role, unlike the schemas they describe.
SCHEMA_IS_DEPLOYED = """
    select exists (
        select from pg_catalog.pg_proc as function
        join pg_catalog.pg_namespace as schema on schema.oid = function.pronamespace
        where schema.nspname = 'api' and function.proname = 'before_request'
    )
"""


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process is up; nothing else is asked."""
    return jsonify(status="up")


@blueprint.get("/readyz")
def readyz() -> Response:
    """The database answers and the schema is deployed."""
    try:
        with database().connection() as connection:
            row = connection.execute(SCHEMA_IS_DEPLOYED).fetchone()
    except psycopg.OperationalError:
        raise ApiError(503, "The database does not answer.", "database_unavailable") from None
    if row != (True,):
        raise ApiError(
            503, "The schema is not deployed: run infinite-pages migrate.", "schema_missing"
        )
    return jsonify(status="ready")
