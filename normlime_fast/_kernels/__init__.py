"""Compiled code: functions of arrays and scalars that never raise on the values of their arguments."""
