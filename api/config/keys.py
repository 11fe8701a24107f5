"""The keys that tokens are signed with: one secret, or a JWK set, as PostgREST takes them.

A key is used with the algorithms of its own kind and no others, so a public key can never be
mistaken for a shared secret. A set with a key that is not understood is refused whole: PostgREST
would fall back to taking the text of the set for the secret, and that text is often public.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import jwt

from api.config.reading import SHORTEST_JWT_SECRET, SettingsError

PLAIN_ALGORITHM = "HS256"
ALGORITHMS = {
    ("oct", None): ("HS256", "HS384", "HS512"),
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}


@dataclass(frozen=True)
class TokenKey:
    """A key, its name in the set, and what it may be used with."""

    id: str | None
    algorithms: tuple[str, ...]
    key: Any = field(repr=False)
    is_shared: bool = False


def read_token_keys(text: str) -> tuple[TokenKey, ...]:
    """The keys of a JWT_SECRET that was checked before."""
    if not text.startswith("{"):
        return (TokenKey(id=None, algorithms=(PLAIN_ALGORITHM,), key=text, is_shared=True),)
    document = json.loads(text)
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not keys:
        raise SettingsError("JWT_SECRET is a JWK set without keys")
    return tuple(_token_key(number, key) for number, key in enumerate(keys, start=1))


def _token_key(number: int, given: Any) -> TokenKey:
    which = f"key {number} of JWT_SECRET"
    if not isinstance(given, dict):
        raise SettingsError(f"{which} is not a JWK")
    kind, curve = given.get("kty"), given.get("crv")
    algorithms = ALGORITHMS.get((str(kind), curve if isinstance(curve, str) else None))
    if algorithms is None:
        raise SettingsError(f"{which} is of a kind that is not known: {kind} {curve or ''}")
    pinned = given.get("alg")
    if pinned is not None:
        if pinned not in algorithms:
            raise SettingsError(f"{which} says alg {pinned!r}, which is not for a {kind} key")
        algorithms = (pinned,)
    try:
        key = jwt.PyJWK(given, algorithm=algorithms[0]).key
    except jwt.PyJWTError:
        raise SettingsError(f"{which} is malformed") from None
    is_shared = kind == "oct"
    if is_shared and len(key) < SHORTEST_JWT_SECRET:
        raise SettingsError(f"{which} must be at least {SHORTEST_JWT_SECRET} bytes long")
    if hasattr(key, "public_key"):  # the private half only signs
        key = key.public_key()
    return TokenKey(id=given.get("kid"), algorithms=algorithms, key=key, is_shared=is_shared)
