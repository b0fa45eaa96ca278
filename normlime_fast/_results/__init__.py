"""What comes out of a call."""
