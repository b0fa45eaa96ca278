import pytest

pytest.register_assert_rewrite("helpers")  # so that a failed assertion in there shows its values
