"""What a prompt asks for, as far as the sandbox can draw it.

A model understands a prompt; the sandbox looks for words. The title stands in straight double
quotes; the style, the mood and the place follow from what stands around it.
"""

import re
from dataclasses import dataclass
from random import Random

TITLE = re.compile(r'"([^"]*)"')
STYLES = ("realistic", "artistic", "fantasy", "minimalist", "vintage")
# One point for each cue in the prompt. Genres use some of these words too ("fantasy novel"), so
# a style has several, and the model has a leaning of its own.
CUES = {
    "realistic": (
        "photorealistic|realistic|photograph|photo",
        "cinematic|depth of field|highly detailed|film still",
    ),
    "artistic": (
        "painting|painted|artistic|watercolou?r|impressionist",
        "brush|oil on|oil painting|impasto|expressive|canvas",
        "bold colou?rs",
    ),
    "fantasy": (
        "fantasy illustration|fantasy art|epic fantasy|fantasy",
        "magical|magic|enchanted|mythical|intricate|dramatic sky",
        "epic|glow|dragon|castle",
    ),
    "minimalist": (
        "minimalist|minimalism|minimal",
        "flat|geometric|simple shapes|vector",
        "negative space|two colou?rs",
    ),
    "vintage": (
        "vintage|retro|antique|19[0-6]0s",
        "aged|sepia|old paper|muted ink|worn",
        "ornamental|halftone|engraving|letterpress",
    ),
}
LEANINGS = {"realisticvision": "realistic", "dreamshaper": "fantasy", "deliberate": "artistic"}
GENRES = {
    "science fiction": "neon",
    "sci-fi": "neon",
    "cyberpunk": "neon",
    "romance": "rose",
    "love story": "rose",
    "horror": "dark",
    "thriller": "dark",
    "mystery": "cold",
    "crime": "cold",
    "detective": "cold",
    "fantasy": "violet",
    "fairy tale": "violet",
    "historical": "earth",
    "western": "earth",
    "adventure": "green",
    "travel": "green",
    "nature": "green",
    "literary": "dusk",
}
PLACES = {
    "sea": "sea|ocean|ship|sail|boat|harbou?r|island|lighthouse|coast|beach|river|lake|tide|water",
    "forest": "forest|woods?|trees?|garden|jungle|wolf|leaf|leaves|grove|orchard",
    "city": "city|town|street|station|train|tower|skyline|metropolis|paris|london|neon|robot",
    "mountains": "western|mountains?|hills?|valley|desert|canyon|road|snow|winter|peak|horizon",
}


@dataclass(frozen=True)
class Mood:
    """Three hues, from 0 to 1, and whether the picture is a dark one."""

    main: float
    second: float
    accent: float
    is_dark: bool = False


MOODS = {
    "dusk": Mood(0.61, 0.93, 0.07),
    "cold": Mood(0.58, 0.54, 0.12),
    "dark": Mood(0.97, 0.66, 0.02, is_dark=True),
    "rose": Mood(0.93, 0.80, 0.06),
    "neon": Mood(0.72, 0.51, 0.88, is_dark=True),
    "earth": Mood(0.08, 0.55, 0.12),
    "green": Mood(0.45, 0.33, 0.13),
    "violet": Mood(0.74, 0.60, 0.12),
}
OTHER_PLACES = ("mountains", "sea", "forest")
OTHER_MOODS = ("dusk", "cold", "rose", "earth", "green")


@dataclass(frozen=True)
class Subject:
    """What is to be drawn. `label` is the small line under the title, the genre, say."""

    title: str
    style: str
    mood: Mood
    place: str
    label: str


def subject(prompt: str, model: str, random: Random) -> Subject:
    """What a prompt asks for; what it leaves open is left to chance."""
    quoted = TITLE.search(prompt)
    # The title is no description: "The Vintage Robot" wants neither.
    around = TITLE.sub(" ", prompt, count=1).lower()
    genre = next((name for name in GENRES if _has(around, name)), None)
    chosen = GENRES[genre] if genre else random.choice(OTHER_MOODS)
    places = [place for place, words in PLACES.items() if _has(around, words)]
    return Subject(
        title=quoted[1].strip() if quoted else "",
        style=style(around, model),
        mood=MOODS[chosen],
        place=places[0] if places else random.choice(OTHER_PLACES),
        label=label(around),
    )


def style(prompt: str, model: str) -> str:
    """The style that most cues speak for; the model decides where none does."""
    leaning = next((each for name, each in LEANINGS.items() if name in model.lower()), STYLES[0])

    def points(name: str) -> float:
        return sum(_has(prompt, cue) for cue in CUES[name]) + 0.5 * (name == leaning)

    return max(STYLES, key=points)


def label(prompt: str) -> str:
    """The genre as it stands before the word novel, or just that it is one."""
    found = re.search(r",\s*([a-z][a-z -]{2,24})\s+novel\b", prompt)
    genre = found[1].strip() if found else "fiction"
    return "a novel" if genre == "fiction" else genre


def _has(text: str, words: str) -> bool:
    return re.search(rf"\b(?:{words})\b", text) is not None
