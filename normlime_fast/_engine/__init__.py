"""The engine: runs a call of `NormLIME` block by block."""
