"""What it costs to keep reading in a library of a million rows of progress."""
