"""Compiled code: arrays and scalars in, arrays out; nothing here raises on the values it is given."""
