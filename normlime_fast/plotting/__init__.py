"""Plots of results, drawn with matplotlib (the extra `plot`).

Every function takes a result, draws into the given `ax` (or `axes`) or into a new figure of pyplot, and returns the
axes. It changes neither the backend nor rcParams. The colours of bars and lines are those of Okabe and Ito; colour maps
are cividis and, for signed values, RdBu of ColorBrewer. All are safe for readers with red-green or blue-yellow colour
blindness.
"""

from normlime_fast.plotting._bars import bars, compare_kinds, group_bars
from normlime_fast.plotting._local import local_bars, strip
from normlime_fast.plotting._maps import heatmap, maps
from normlime_fast.plotting._stability import stability

__all__ = ["bars", "compare_kinds", "group_bars", "heatmap", "local_bars", "maps", "stability", "strip"]
