"""What a purchase costs over HTTP, beside a call that does nothing."""
