"""Files of results: npz archives of plain arrays, written atomically and not trusted when read.

A file has the format of `numpy.savez`, so `numpy.load` opens it, too: one .npy member per array, and a member `header`
with JSON in UTF-8 for everything else: the class of the result, the version of its schema, names. The comment at the
end of the archive holds the SHA-256 of all bytes before it, which detects damage. It does not prevent forgery, so the
content is validated as well. Nothing is ever pickled or unpickled.
"""

import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from normlime_fast._checks import short_repr
from normlime_fast._inputs.labels import LABEL
from normlime_fast._results.schema import SCHEMAS, FileSchema

Array = NDArray[Any]

LABELS = "groups", "index"  # fields whose arrays keep their byte order
PathLike = str | os.PathLike[str]
Result = TypeVar("Result")
Make = Callable[[int, dict[str, Any], dict[str, Any]], Result]  # called with version, arrays and header

FORMAT = "normlime_fast"
SUFFIX = b"normlime_fast sha256 " + b"0" * 64  # end of a file, in which the digest replaces the zeros
CANNOT_SYNC = errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP  # errors of a damaged or full disk are others


# --- bytes


def pack(kind: str, arrays: Mapping[str, Array | None], header: Mapping[str, Any]) -> bytes:
    """Return the content of a file; an array that is None is left out.

    Raises
    ------
    TypeError, ValueError
        If `arrays` or `header` do not fit the schema.
    """
    version, schema = max(SCHEMAS[kind].items())
    plain = {name: _little_endian(array, name) for name, array in arrays.items() if array is not None}
    _check_fields({name: (array.dtype.str, array.shape) for name, array in plain.items()}, schema)
    _check_header(header, schema)
    full_header = {"format": FORMAT, "class": kind, "version": version, **header}
    # not escaped: JSON would read a pair of escaped surrogates as one character
    text = json.dumps(full_header, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    buffer = io.BytesIO()
    archive = zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED)
    try:
        archive.comment = SUFFIX
        for name, array in {"header": np.frombuffer(text, np.uint8), **plain}.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy")  # without the time: the same result gives the same file
            archive.writestr(member, content.getbuffer())
    except BaseException:
        archive.fp = None  # closing an archive in the middle of a member fails, which would hide Ctrl-C
        raise
    archive.close()
    with buffer.getbuffer() as view:
        view[-64:] = _digest(view)
    return buffer.getvalue()


def unpack(content: bytes, kind: str, name: str, make: Make[Result]) -> Result:
    """Return make(version, arrays, header) for the content of a file; errors refer to it as `name`.

    Raises
    ------
    ValueError
        With a message of one line, if `content` is not a result of `pack` for this kind, or if `make` raises
        ValueError.
    """
    with _refusing(name, kind):
        return make(*_parts(content, kind))


def _little_endian(array: Array, name: str) -> Array:
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"{name} must be an array to be saved, got {type(array).__name__}")
    plain = np.asarray(array, order="C")
    if plain.dtype.kind not in "biufSUmM":
        raise TypeError(f"{name} must be numbers, strings or dates to be saved, got dtype {plain.dtype}")
    return plain if name in LABELS else plain.astype(plain.dtype.newbyteorder("<"), copy=False)


def _digest(content: bytes | memoryview) -> bytes:
    """SHA-256 of all bytes before the digest, in hexadecimal digits."""
    with memoryview(content) as view, view[:-64] as before:
        return hashlib.sha256(before).hexdigest().encode()


def is_intact(content: bytes) -> bool:
    """Return whether the content ends with our suffix and the checksum of all bytes before it."""
    return content[-len(SUFFIX) : -64] == SUFFIX[:-64] and content[-64:] == _digest(content)


class _UnreadableError(ValueError):
    """An error whose message follows the name of the file as it is."""


@contextmanager
def _refusing(name: str, kind: str) -> Iterator[None]:
    """Turn every error with a file into a ValueError of one line: zipfile, numpy and json raise many types."""
    try:
        yield
    except OSError:
        raise
    except _UnreadableError as error:
        raise ValueError(f"{name} {error}") from None
    except MemoryError:
        raise ValueError(f"{name} needs more memory than there is") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        cause = None if isinstance(error, ValueError) else error
        raise ValueError(f"{name} is not {_a(kind)} file of normlime_fast: {reason}") from cause


def _a(kind: str) -> str:
    return f"{'an' if kind.startswith('I') else 'a'} {kind}"


def _parts(content: bytes, kind: str) -> tuple[int, dict[str, Array], dict[str, Any]]:
    """Return version, arrays and header; sizes and dtypes are checked before any array is created."""
    if not content:
        raise ValueError("it is empty")
    if content[-len(SUFFIX) : -64] != SUFFIX[:-64]:
        raise ValueError("another program wrote it, or its end is missing")
    if content[-64:] != _digest(content):
        raise _UnreadableError("is damaged: its content does not match its checksum")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = _members(archive, len(content))
        if "header" not in members:
            raise ValueError("it has no header")
        dtype, shape, offset = _npy_header(archive, members["header"])
        if dtype != "|u1" or len(shape) != 1:
            raise ValueError("its header is not an array of bytes")
        version, schema, header = _read_header(archive.read(members.pop("header"))[offset:], kind)
        headers = {name: _npy_header(archive, member) for name, member in members.items()}
        _check_fields({name: (dtype, shape) for name, (dtype, shape, _) in headers.items()}, schema)
        arrays = {}
        for name, (dtype, shape, offset) in headers.items():
            plain: Array = np.ndarray(shape, dtype, buffer=archive.read(members[name]), offset=offset)
            native = plain.dtype if name in LABELS else plain.dtype.newbyteorder("=")
            arrays[name] = plain.astype(native)
    return version, arrays, header


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Members of an archive of `size` bytes by name; compressed ones, which could take any memory, are refused."""
    listed = archive.infolist()
    members = {member.filename.removesuffix(".npy"): member for member in listed}
    if len(members) < len(listed):
        raise ValueError("it has a member twice")
    for member in listed:
        encrypted = member.flag_bits & 0x1
        if member.compress_type != zipfile.ZIP_STORED or encrypted or member.file_size != member.compress_size:
            raise ValueError("its members are compressed or encrypted")
    if sum(member.file_size for member in listed) > size:
        raise ValueError("its members are larger than the file")
    return members


# Exactly what numpy writes. numpy evaluates the header as a Python literal; untrusted text is only matched here.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<dtype>[^'\\]{2,30})', 'fortran_order': False,"
    rb" 'shape': \((?P<shape>|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,4})\), \} *\n",
    re.DOTALL,
)


def _npy_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, tuple[int, ...], int]:
    """Return dtype and shape in the header of a member, checked against its size, and the offset of its values."""
    with archive.open(member) as file:
        match = _NPY.match(file.read(256))
    label = f"its member {member.filename[:50]!r}"
    if match is None or int.from_bytes(match["length"], "little") + 10 != match.end():
        raise ValueError(f"{label} is not a plain array")
    dtype = match["dtype"].decode("latin-1")
    if not re.fullmatch(LABEL, dtype):
        raise ValueError(f"{label} has dtype {dtype!r}")
    shape = tuple(int(size) for size in match["shape"].split(b",") if size)
    if math.prod(shape) * np.dtype(dtype).itemsize + match.end() != member.file_size:
        raise ValueError(f"{label} does not have the size of its shape {shape}")
    return dtype, shape, match.end()


def _read_header(text: bytes, kind: str) -> tuple[int, FileSchema, dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise ValueError(f"its header has {constant}")

    header = json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=refuse)
    if type(header) is not dict or header.pop("format", None) != FORMAT:
        raise ValueError("another program wrote its header")
    held, version = header.pop("class", None), header.pop("version", None)
    if type(held) is not str or type(version) is not int or version < 1:
        raise ValueError("its header has no class and version")
    if held != kind and held in SCHEMAS:
        raise _UnreadableError(f"holds {_a(held)}; use {held}.load")
    if held != kind:
        raise ValueError(f"it holds a {held[:50]!r}")
    if version not in SCHEMAS[kind]:
        raise _UnreadableError(f"has version {version!s:.20} of the format, which needs a newer normlime_fast")
    schema = SCHEMAS[kind][version]
    for name in schema.header:
        if name.endswith("_names") and type(header.get(name)) is list:
            header[name] = tuple(header[name])
    _check_header(header, schema)
    return version, schema, header


def _check_header(header: Mapping[str, Any], schema: FileSchema) -> None:
    if header.keys() != schema.header.keys():
        odd = sorted(header.keys() ^ schema.header.keys())
        raise ValueError(f"its header has missing or unknown fields: {str(odd)[:100]}")
    for name, is_right in schema.header.items():
        if not is_right(header[name]):
            raise TypeError(f"{name} is invalid: {header[name]!r:.100}")


def _check_fields(fields: Mapping[str, tuple[str, tuple[int, ...]]], schema: FileSchema) -> None:
    """Check names, dtypes and shapes of arrays against the schema, and the shapes against each other."""
    sizes: dict[str | int, int] = {}
    for name, field in schema.arrays.items():
        if name not in fields:
            if not field.optional:
                raise ValueError(f"it has no array {name}")
            continue
        dtype, shape = fields[name]
        if not re.fullmatch(field.dtypes, dtype):
            raise TypeError(f"{name} must not be of dtype {dtype}")
        expected = next((symbols for symbols in field.shapes if len(symbols) == len(shape)), None)
        if expected is None:
            raise ValueError(f"{name} must have {len(field.shapes[0])} dimensions, got shape {shape}")
        for symbol, size in zip(expected, shape, strict=True):
            if size != (symbol if isinstance(symbol, int) else sizes.setdefault(symbol, size)):
                raise ValueError(f"{name} must fit the other arrays, got shape {shape}")
    if odd := fields.keys() - schema.arrays.keys():
        raise ValueError(f"it has the unknown member {min(odd)[:50]!r}")


# --- labels of groups and of rows


def labels_out(labels: Array | None, name: str = "groups") -> tuple[Array | None, list[Any] | None]:
    """Split labels for a file into an array and, if they are objects, a list for the header."""
    if labels is None or labels.dtype != object:
        return labels, None
    objects: list[Any] = labels.tolist()
    for label in objects:
        if type(label) not in (str, int, float, bool) or (type(label) is float and not math.isfinite(label)):
            raise TypeError(
                f"{name} must be numbers, strings, bools or NumPy's dates to be saved, got {short_repr(label)} of type"
                f" {type(label).__name__}"
            )
    return None, objects


def labels_in(array: Array | None, objects: list[Any] | None, name: str = "groups") -> Array | None:
    """Return the labels of a file, validated."""
    if objects is not None:
        if array is not None:
            raise ValueError(f"it has {name} twice")
        labels = np.empty(len(objects), object)
        labels[:] = objects
        return labels
    if array is not None and array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{name} must be bools, got other bytes")
    if array is not None and array.dtype.kind == "U":
        points = array.view(array.dtype.str[0] + "u4")
        if points.max(initial=0) > 0x10FFFF:
            raise ValueError(f"{name} must be text, got an invalid character")
    return array


# --- files


class Saved(ABC):
    """A result that can be saved and loaded; subclasses define the fields."""

    _kind: ClassVar[str]  # name of the class in files

    @abstractmethod
    def _fields(self) -> tuple[dict[str, Array | None], dict[str, Any]]:
        """Return arrays (None is left out) and header according to the newest schema of this kind."""

    @abstractmethod
    def _validate(self) -> None:
        """Raise ValueError if fields of the right types are inconsistent."""

    @classmethod
    @abstractmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        """Return the validated result from arrays and header that follow the schema of this version."""

    def save(self, path: PathLike) -> None:
        """Write to a file, from which `load` restores the result bit for bit.

        The file is an npz archive of plain arrays, without pickle. An existing file stays until the new one is
        complete.

        Parameters
        ----------
        path : str or os.PathLike
            Used as it is: no suffix is added.

        Raises
        ------
        OSError
            If the file can't be written.
        TypeError, ValueError
            If `groups` are not numbers, strings, bools or dates, or the fields have wrong types or are inconsistent.

        Examples
        --------
        >>> import tempfile
        >>> import normlime_fast as nlf
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nlf.aggregate([[0.0, 2.0]]).save(folder + "/monday.npz")
        ...     monday = nlf.ImportanceStatistics.load(folder + "/monday.npz")
        >>> monday.merge(nlf.aggregate([[1.0, -3.0]])).importance().values
        array([0.25 , 2.125])
        """
        write_atomically(path, self._to_bytes())

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a file that `save` of this or an older release has written.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        LocalExplanations, Importance or ImportanceStatistics
            An instance of the class whose `load` is called.

        Raises
        ------
        OSError
            If the file can't be read, such as FileNotFoundError.
        ValueError
            With a message of one line, if it is not an intact file of this class. It is safe to load untrusted files:
            no code of theirs is run, and loading takes memory in proportion to their size.

        Examples
        --------
        >>> import tempfile
        >>> import normlime_fast as nlf
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance().save(folder + "/importance.npz")
        ...     nlf.Importance.load(folder + "/importance.npz").values
        array([0.25 , 2.125])
        """
        file = Path(path)
        name = str(file) if str(file).isprintable() else repr(str(file))
        with _refusing(name, cls._kind):
            content = read(file)
        return cls._from_bytes(content, name)

    def _to_bytes(self) -> bytes:
        """Return the content of a file."""
        content = pack(self._kind, *self._fields())
        self._validate()
        return content

    @classmethod
    def _from_bytes(cls, content: bytes, name: str) -> Self:
        """Return a result from the content of a file; errors refer to it as `name`."""
        return unpack(content, cls._kind, name, cls._from_fields)


def read(path: Path) -> bytes:
    """Read a file completely if it ends with our suffix, else only its end."""
    check_regular(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - len(SUFFIX)))
        content = file.read(len(SUFFIX))
        if content[:-64] == SUFFIX[:-64]:
            file.seek(0)
            content = file.read(size)
        file.close()  # see `write_atomically`
    return content


def check_regular(path: PathLike) -> None:
    """Refuse a path that is not a regular file, such as a pipe, which would block, or a device, which must be kept.

    Raises
    ------
    OSError
        If the path exists and is not a regular file; a broken link counts as existing.
    """
    if not Path(path).is_file() and os.path.lexists(path):
        reason = errno.EISDIR if Path(path).is_dir() else errno.EINVAL
        raise OSError(reason, "is not a regular file; use another path", os.fspath(path))


def write_atomically(path: PathLike, content: bytes) -> bool:
    """Write a file atomically, with the permissions of the old one: at any moment the old or the new file is complete.

    Returns
    -------
    bool
        Whether this also holds if power fails: not every file system can sync.

    Raises
    ------
    OSError
        If the file can't be written, as on a full disk; the old file is then unchanged.
    """
    target = Path(os.path.realpath(path))  # the target of a link is replaced, not the link
    temporary = target.with_name(f".normlime_fast-{secrets.token_hex(8)}.tmp")
    try:
        check_regular(target)
        with temporary.open("xb") as file:
            if hasattr(os, "fchmod"):
                with suppress(OSError):  # there is no old one, or the file system has no permissions
                    os.fchmod(file.fileno(), target.stat().st_mode & 0o777)
            file.write(content)
            file.flush()
            synced = _sync(file.fileno())
            file.close()  # closed before `with` does, since an interrupt may come in between
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # instead of the temporary file
        with suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # other systems can't open a folder
        with suppress(OSError):  # some file systems can't sync one; the file survives most crashes anyway
            _sync_folder(target.parent)
    return synced


def _sync(descriptor: int) -> bool:
    """Sync a file; return whether the file system supports it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
