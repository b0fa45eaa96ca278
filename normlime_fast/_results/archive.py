"""How results become files: npz archives of plain arrays, written whole or not at all, and read with suspicion.

A file is what `numpy.savez` writes, so `numpy.load` opens it, too: one .npy member per array, and one, `header`, with
JSON in UTF-8 for what is no array: the class of the result, the version of its schema, names. The comment at the end
of the archive holds the SHA-256 of all bytes before it, by which damage is found. It keeps nobody from making a file
up, so all that a file says is checked as well. Nothing is ever pickled or unpickled.
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
PathLike = str | os.PathLike[str]
Result = TypeVar("Result")
Make = Callable[[int, dict[str, Any], dict[str, Any]], Result]  # of version, arrays and header

FORMAT = "normlime_fast"
SUFFIX = b"normlime_fast sha256 " + b"0" * 64  # how a file ends, with its own digest for the zeros
CANNOT_SYNC = errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP  # not so in case of damage, or a full disk


# --- bytes


def pack(kind: str, arrays: Mapping[str, Array | None], header: Mapping[str, Any]) -> bytes:
    """Return the content of a file; an array that is None is left out.

    Raises
    ------
    TypeError, ValueError
        If `arrays` or `header` are not as the schema has them.
    """
    version, schema = max(SCHEMAS[kind].items())
    plain = {name: _little_endian(array, name) for name, array in arrays.items() if array is not None}
    _check_fields({name: (array.dtype.str, array.shape) for name, array in plain.items()}, schema)
    _check_header(header, schema)
    about = {"format": FORMAT, "class": kind, "version": version, **header}
    # with escapes, two surrogates would come back as the one character that they make in UTF-16
    text = json.dumps(about, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
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
    """Return make(version, arrays, header) of the content of a file, which `name` is called in what is said of it.

    Raises
    ------
    ValueError
        With one line that says what is wrong, if `content` is not what `pack` returns for this kind, or if `make`
        raises one.
    """
    with _refusing(name, kind):
        return make(*_parts(content, kind))


def _little_endian(array: Array, name: str) -> Array:
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"{name} must be an array to be saved, got {type(array).__name__}")
    plain = np.asarray(array, order="C")
    if plain.dtype.kind not in "biufSUmM":
        raise TypeError(f"{name} must be numbers, strings or dates to be saved, got dtype {plain.dtype}")
    return plain if name == "groups" else plain.astype(plain.dtype.newbyteorder("<"), copy=False)


def _digest(content: bytes | memoryview) -> bytes:
    """SHA-256 of all before the digest itself, as hexadecimal digits."""
    with memoryview(content) as view, view[:-64] as before:
        return hashlib.sha256(before).hexdigest().encode()


def is_intact(content: bytes) -> bool:
    """Return whether content ends as that of a file of ours, with the checksum of all before."""
    return content[-len(SUFFIX) : -64] == SUFFIX[:-64] and content[-64:] == _digest(content)


class _UnreadableError(ValueError):
    """What is to be said of a file as it is."""


@contextmanager
def _refusing(name: str, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line: what zipfile, numpy and json raise is more than they say."""
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
    """Version, arrays and header: their sizes and dtypes are known to be right before an array is made."""
    if not content:
        raise ValueError("it is empty")
    if content[-len(SUFFIX) : -64] != SUFFIX[:-64]:
        raise ValueError("it is another program's, or its end is missing")
    if content[-64:] != _digest(content):
        raise _UnreadableError("is damaged: its content does not match its checksum")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = _members(archive, len(content))
        if "header" not in members:
            raise ValueError("it has no header")
        dtype, shape, offset = _npy_header(archive, members["header"])
        if dtype != "|u1" or len(shape) != 1:
            raise ValueError("its header is not made of bytes")
        version, schema, header = _read_header(archive.read(members.pop("header"))[offset:], kind)
        found = {name: _npy_header(archive, member) for name, member in members.items()}
        _check_fields({name: (dtype, shape) for name, (dtype, shape, _) in found.items()}, schema)
        arrays = {}
        for name, (dtype, shape, offset) in found.items():
            plain: Array = np.ndarray(shape, dtype, buffer=archive.read(members[name]), offset=offset)
            native = plain.dtype if name == "groups" else plain.dtype.newbyteorder("=")
            arrays[name] = plain.astype(native)
    return version, arrays, header


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Members of an archive of `size` bytes by name; compressed ones are refused, as they may be any size in memory."""
    found = archive.infolist()
    members = {member.filename.removesuffix(".npy"): member for member in found}
    if len(members) < len(found):
        raise ValueError("it has a member twice")
    for member in found:
        encrypted = member.flag_bits & 0x1
        if member.compress_type != zipfile.ZIP_STORED or encrypted or member.file_size != member.compress_size:
            raise ValueError("its members are compressed or encrypted")
    if sum(member.file_size for member in found) > size:
        raise ValueError("its members are larger than itself")
    return members


# What numpy writes, to the letter: to evaluate it as Python, as numpy does, would be to trust it.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<dtype>[^'\\]{2,30})', 'fortran_order': False,"
    rb" 'shape': \((?P<shape>|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,3})\), \} *\n",
    re.DOTALL,
)


def _npy_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, tuple[int, ...], int]:
    """Dtype and shape that a member claims, whose size they fit, and where its values begin."""
    with archive.open(member) as file:
        match = _NPY.match(file.read(256))
    what = f"its member {member.filename[:50]!r}"
    if match is None or int.from_bytes(match["length"], "little") + 10 != match.end():
        raise ValueError(f"{what} is no plain array")
    dtype = match["dtype"].decode("latin-1")
    if not re.fullmatch(LABEL, dtype):
        raise ValueError(f"{what} is of dtype {dtype!r}")
    shape = tuple(int(size) for size in match["shape"].split(b",") if size)
    if math.prod(shape) * np.dtype(dtype).itemsize + match.end() != member.file_size:
        raise ValueError(f"{what} is not of the size of its shape {shape}")
    return dtype, shape, match.end()


def _read_header(text: bytes, kind: str) -> tuple[int, FileSchema, dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise ValueError(f"its header has {constant}")

    header = json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=refuse)
    if type(header) is not dict or header.pop("format", None) != FORMAT:
        raise ValueError("its header is another program's")
    found, version = header.pop("class", None), header.pop("version", None)
    if type(found) is not str or type(version) is not int or version < 1:
        raise ValueError("its header names no class and version")
    if found != kind and found in SCHEMAS:
        raise _UnreadableError(f"holds {_a(found)}; use {found}.load")
    if found != kind:
        raise ValueError(f"it holds a {found[:50]!r}")
    if version not in SCHEMAS[kind]:
        raise _UnreadableError(f"has version {version!s:.20} of the format, for which a newer normlime_fast is needed")
    schema = SCHEMAS[kind][version]
    for name in schema.header:
        if name.endswith("_names") and type(header.get(name)) is list:
            header[name] = tuple(header[name])
    _check_header(header, schema)
    return version, schema, header


def _check_header(header: Mapping[str, Any], schema: FileSchema) -> None:
    if header.keys() != schema.header.keys():
        odd = sorted(header.keys() ^ schema.header.keys())
        raise ValueError(f"its header lacks, or should not have, {str(odd)[:100]}")
    for name, is_right in schema.header.items():
        if not is_right(header[name]):
            raise TypeError(f"{name} is not as it must be: {header[name]!r:.100}")


def _check_fields(found: Mapping[str, tuple[str, tuple[int, ...]]], schema: FileSchema) -> None:
    """Check names, dtypes and shapes of arrays against the schema, and the shapes against each other."""
    sizes: dict[str | int, int] = {}
    for name, field in schema.arrays.items():
        if name not in found:
            if not field.optional:
                raise ValueError(f"it has no array {name}")
            continue
        dtype, shape = found[name]
        if not re.fullmatch(field.dtypes, dtype):
            raise TypeError(f"{name} must not be of dtype {dtype}")
        expected = next((one for one in field.shapes if len(one) == len(shape)), None)
        if expected is None:
            raise ValueError(f"{name} must have {len(field.shapes[0])} dimensions, got shape {shape}")
        for symbol, size in zip(expected, shape, strict=True):
            if size != (symbol if isinstance(symbol, int) else sizes.setdefault(symbol, size)):
                raise ValueError(f"{name} must fit the other arrays, got shape {shape}")
    if odd := found.keys() - schema.arrays.keys():
        raise ValueError(f"it has the member {min(odd)[:50]!r}, which does not belong there")


# --- labels of groups


def labels_out(groups: Array | None) -> tuple[Array | None, list[Any] | None]:
    """Group labels as they stand in a file: as an array, or in the header if they are objects."""
    if groups is None or groups.dtype != object:
        return groups, None
    labels: list[Any] = groups.tolist()
    for label in labels:
        if type(label) not in (str, int, float, bool) or (type(label) is float and not math.isfinite(label)):
            raise TypeError(
                f"groups must be numbers, strings, bools or NumPy's dates to be saved, got {short_repr(label)} of type"
                f" {type(label).__name__}"
            )
    return None, labels


def labels_in(array: Array | None, labels: list[Any] | None) -> Array | None:
    """Group labels from what stands in a file, checked."""
    if labels is not None:
        if array is not None:
            raise ValueError("it has groups twice")
        groups = np.empty(len(labels), object)
        groups[:] = labels
        return groups
    if array is not None and array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("groups must be bools, got other bytes")
    if array is not None and array.dtype.kind == "U":
        points = array.view(array.dtype.str[0] + "u4")
        if points.max(initial=0) > 0x10FFFF:
            raise ValueError("groups must be text, got what is no character")
    return array


# --- files


class Saved(ABC):
    """A result that becomes a file and comes back from it: what has to be done is here, what is in it in the class."""

    _kind: ClassVar[str]  # what files call the class

    @abstractmethod
    def _fields(self) -> tuple[dict[str, Array | None], dict[str, Any]]:
        """Return arrays (None is left out) and header, as the newest schema of this kind has them."""

    @abstractmethod
    def _validate(self) -> None:
        """Raise ValueError if fields of the right types do not fit together."""

    @classmethod
    @abstractmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        """Return the result, validated, from arrays and header as the schema of this version has them."""

    def save(self, path: PathLike) -> None:
        """Write to a file, from which `load` gets the result back to the bit.

        The file is an npz archive of plain arrays, without pickle. What stood under the path stays until the new file
        is complete.

        Parameters
        ----------
        path : str or os.PathLike
            Taken as it is: no suffix is added.

        Raises
        ------
        OSError
            If it can't be written.
        TypeError, ValueError
            If `groups` are other than numbers, strings, bools or dates, or the fields are not of the types or do not
            fit together as the class describes them.

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
        """Read a file that `save` has written, with this release or an older one.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        LocalExplanations, Importance or ImportanceStatistics
            Of the class whose `load` is called.

        Raises
        ------
        OSError
            If it can't be read, such as FileNotFoundError.
        ValueError
            With one line that says what is wrong, if it is anything else than an intact file of this class. It is safe
            to load files of people you do not trust: nothing of them is run, and the memory it takes is in proportion
            to their size.

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
        """Return a result from the content of a file, which errors call `name`."""
        return unpack(content, cls._kind, name, cls._from_fields)


def read(path: Path) -> bytes:
    """Read a file whole, if it ends as one of ours does; else only its end."""
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
    """Refuse what is no place for a file, such as a pipe, which would wait for ever, or a device, which is to be kept.

    Raises
    ------
    OSError
        If there is something else at a path than a regular file, be it a link to nothing.
    """
    if not Path(path).is_file() and os.path.lexists(path):
        reason = errno.EISDIR if Path(path).is_dir() else errno.EINVAL
        raise OSError(reason, "is not a regular file; use another path", os.fspath(path))


def write_atomically(path: PathLike, content: bytes) -> bool:
    """Write a file so that at any moment it is the old one or the new one, whole, with the permissions of the old one.

    Returns
    -------
    bool
        Whether this is so also if power fails: not every file system can sync.

    Raises
    ------
    OSError
        If it can't be written, for which there may be no room; the old one is then as it was.
    """
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
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
            file.close()  # here, since an interrupt may come between the block and what `with` does at its end
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not that of the temporary file
        with suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # elsewhere a folder can't be opened
        with suppress(OSError):  # nor on some file systems; the file is there, and will be after most crashes
            _sync_folder(target.parent)
    return synced


def _sync(descriptor: int) -> bool:
    """Sync a file, and return whether the file system can."""
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
