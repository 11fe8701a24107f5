"""Who kills what, and what the sandboxes do to those who ask them."""

from random import Random
from threading import Event
from typing import Any

import httpx

from tests.torture.arena import PARTS, Arena
from tests.torture.journal import Journal

THE_WORST = ("postgres",)  # comes first, however short the run
PARTS_CHOSEN = (
    THE_WORST, THE_WORST, ("postgrest",), ("edge",), ("worker",),
    ("edge", "worker"), ("postgres", "worker"), PARTS,
)  # fmt: skip
PATHS = (
    "/v1/payment_intents", "/v1/checkout/sessions", "/v1/refunds", "/v1/transfers", "/v1/customers",
    "/v1/billing_portal/sessions", "/v1/*",
)  # fmt: skip
FAULTS = ("error_500", "error_500_after", "error_429", "lost_request", "lost_reply", "slow", "hold")
SLOW_SECONDS = 1.0
HELD_SECONDS = 1.5
DRAWING_FAILS = 0.25


class Saboteur:
    """Breaks things until it is over, and leaves all of them working."""

    def __init__(
        self, arena: Arena, journal: Journal, seed: str, over: Event, pauses: tuple[float, float]
    ) -> None:
        self._arena = arena
        self._journal = journal
        self._seed = seed
        self._over = over
        self._pauses = pauses

    def kill(self) -> None:
        """A part or several, again and again; the next only when all work."""
        chance = Random(f"{self._seed} kills")
        deck: list[tuple[str, ...]] = [THE_WORST]
        while not self._over.wait(chance.uniform(*self._pauses)):
            parts = deck.pop()
            deck = deck or chance.sample(PARTS_CHOSEN, len(PARTS_CHOSEN))
            with self._journal.troubles.during(f"kill -9 {' and '.join(parts)}"):
                for part in parts:
                    self._arena.kill(part)
                for part in parts:
                    self._arena.revive(part)
                self._arena.wait_until_ready()

    def spoil(self) -> None:
        """Replies of the sandboxes, and webhooks on their way."""
        chance = Random(f"{self._seed} faults")
        with httpx.Client(timeout=60, trust_env=False) as http:
            try:
                self._spoil_pictures(http, chance)
                while not self._over.wait(chance.uniform(0.2, 1.5)):
                    act = chance.choice((self._spoil_replies, self._spoil_webhooks))
                    act(http, chance)
            finally:
                self._calm(http)

    def _spoil_replies(self, http: httpx.Client, chance: Random) -> None:
        fault = chance.choice(FAULTS)
        times = chance.randint(1, 4)
        self._stripe(
            http,
            "/faults",
            {
                "method": chance.choice(("POST", "POST", "*")),
                "path": chance.choice(PATHS),
                "fault": fault,
                "times": times,
                "seconds": SLOW_SECONDS,
            },
        )
        if fault == "hold":
            self._over.wait(HELD_SECONDS)
            self._stripe(http, "/faults/release", {})

    def _spoil_webhooks(self, http: httpx.Client, chance: Random) -> None:
        kind = chance.choice(("duplicate", "shuffle", "delay", "drop", "hold", "deliver"))
        mode: dict[str, Any] = {"mode": "hold"} if kind == "hold" else {}
        mode |= {"duplicate": 2} if kind == "duplicate" else {}
        mode |= {"shuffle": True} if kind == "shuffle" else {}
        mode |= {"delay_seconds": 3} if kind == "delay" else {}
        mode |= {"drop": chance.randint(1, 4)} if kind == "drop" else {}
        self._stripe(http, "/webhooks/mode", mode)
        if kind != "deliver":
            self._journal.troubles.count(f"webhooks: {kind}")
        if kind == "hold":
            self._over.wait(HELD_SECONDS)
            self._stripe(http, "/webhooks/mode", {"mode": "hold", "shuffle": True})
            self._stripe(http, "/webhooks/mode", {})

    def _spoil_pictures(self, http: httpx.Client, chance: Random) -> None:
        body = {"share": DRAWING_FAILS, "seed": chance.randrange(10**6)}
        http.post(f"{self._arena.places.webui}/_sandbox/faults", json=body).raise_for_status()

    def _calm(self, http: httpx.Client) -> None:
        """Both sandboxes work again; how often each fault has struck is counted."""
        stripe, webui = self._arena.places.stripe, self._arena.places.webui
        struck = http.get(f"{stripe}/_sandbox/faults").json()["faults"]
        for each in struck:
            self._journal.troubles.count(f"Stripe: {each['fault']}", each["struck"])
        drawn = http.get(f"{webui}/_sandbox/faults").json()["chance"]
        self._journal.troubles.count("WebUI: a picture failed", drawn["struck"])
        for url in (stripe, webui):
            http.delete(f"{url}/_sandbox/faults").raise_for_status()
        self._stripe(http, "/webhooks/mode", {})

    def _stripe(self, http: httpx.Client, path: str, body: dict[str, Any]) -> None:
        http.post(f"{self._arena.places.stripe}/_sandbox{path}", json=body).raise_for_status()
