"""`python -m api.cli`, for where the console script is not installed."""

from api.cli import main

main(prog_name="infinite-pages")
