"""How well and how fast the cache finds what was generated before."""
