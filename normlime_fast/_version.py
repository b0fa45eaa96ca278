"""Which release this is."""


def installed_version() -> str:
    """Return the version of the installed distribution, or "unknown" where the package is run from its sources."""
    from importlib.metadata import PackageNotFoundError, version  # half of what `import normlime_fast` would take

    try:
        return version("normlime-fast")
    except PackageNotFoundError:
        return "unknown"
