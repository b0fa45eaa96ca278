"""What kernels write of a fit: the integers of `Status`, which gives them their texts."""

OK = 0
FEWER_FEATURES = 1  # the path ended, at lasso.NEGLIGIBLE, before it had K features
CONSTANT_OUTPUT = 2
NO_WEIGHT = 3
NOT_CONVERGED = 4
OVERFLOW = 5
TOO_FEW = 7
