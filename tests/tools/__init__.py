"""Command-line tools that test and check the SQL: the pgTAP runner, the linters, the coverage."""
