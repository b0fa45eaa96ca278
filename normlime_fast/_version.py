"""The installed release."""


def installed_version() -> str:
    """Return the version of the installed distribution, or "unknown" if the package runs from its sources."""
    from importlib.metadata import PackageNotFoundError, version  # at the top, half of the import time

    try:
        return version("normlime-fast")
    except PackageNotFoundError:
        return "unknown"
