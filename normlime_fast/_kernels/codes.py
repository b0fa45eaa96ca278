"""Status codes of fits written by kernels: integers of `Status`, which defines their texts."""

OK = 0
FEWER_FEATURES = 1  # the path ended, at lasso.NEGLIGIBLE, before it had K features
CONSTANT_OUTPUT = 2
NO_WEIGHT = 3
NOT_CONVERGED = 4
OVERFLOW = 5
TOO_FEW = 7
