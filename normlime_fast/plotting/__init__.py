"""Pictures of results, drawn with matplotlib (the extra `plot`).

Every function takes a result, draws into the `ax` (or `axes`) given, or into a new figure of pyplot, and returns what
it has drawn into. It changes neither the backend nor rcParams. The colours of bars and lines are Okabe and Ito's; maps
of colours are cividis and, where values have signs, ColorBrewer's RdBu. They can be told apart by people who do not see
red and green, or blue and yellow, as others do.
"""

from normlime_fast.plotting._bars import bars, compare_kinds, group_bars
from normlime_fast.plotting._local import local_bars, strip
from normlime_fast.plotting._maps import heatmap, maps
from normlime_fast.plotting._stability import stability

__all__ = ["bars", "compare_kinds", "group_bars", "heatmap", "local_bars", "maps", "stability", "strip"]
