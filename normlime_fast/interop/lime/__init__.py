"""Faster explainers of lime, and conversion of lime's explanations."""

from normlime_fast.interop.lime._accelerate import accelerate
from normlime_fast.interop.lime._explanations import from_lime

__all__ = ["accelerate", "from_lime"]
