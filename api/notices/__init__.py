"""Notices by mail. What is told, and to whom, the database decides; here it is carried."""
