"""What was said, kept: append is the one place where order, durability and once-only happen."""
