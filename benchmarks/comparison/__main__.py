"""python -m benchmarks.comparison: see `report`."""

from benchmarks.comparison.report import main

if __name__ == "__main__":
    raise SystemExit(main())
