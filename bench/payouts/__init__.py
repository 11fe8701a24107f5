"""What it costs to pay everybody at a month's end."""
