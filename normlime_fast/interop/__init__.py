"""Bridges to the tools that people already use: lime and shap."""
