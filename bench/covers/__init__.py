"""What the queue of covers does when it is long, and what one claim costs."""
