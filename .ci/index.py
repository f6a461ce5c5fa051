"""The package index that pip is configured for, asked as pip asks it.

Covers: index, extra indexes, certificates, proxies and passwords of pip's own configuration, through pip's own session,
so that no file here names a host. That is inside pip, whose version is locked; tests notice when a newer one moves it.
Does not cover: indexes that are folders, which know neither dates nor advisories.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from packaging.version import InvalidVersion, Version
from pip._internal.commands import create_command
from pip._internal.exceptions import PipError
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pip._internal.network.session import PipSession

SIMPLE = "application/vnd.pypi.simple.v1+json"
MAX_ANSWER_BYTES = 64 * 2**20
"""The longest list of files of a single package is a tenth of this."""


class Unasked(Exception):
    """No answer, or one that cannot be read: nothing is known, which is not the same as nothing is wrong."""


def plain(text: str) -> str:
    """One line without control characters: what strangers wrote goes to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


Plain = Annotated[str, AfterValidator(plain)]


class File(BaseModel):
    """One file of a release, as PEP 691 and PEP 700 describe it."""

    filename: Plain
    url: str
    hashes: dict[str, str]
    uploaded: AwareDatetime | None = Field(default=None, alias="upload-time")
    yanked: bool | Plain = False
    size: int = 0

    @property
    def sha256(self) -> str:
        """The hash that a lock names."""
        return self.hashes.get("sha256", "")

    @property
    def is_wheel(self) -> bool:
        """No code runs when it is installed."""
        return self.filename.endswith(".whl")

    def at(self, page: str) -> File:
        """The same with its address in full, *page* being where it was listed."""
        return self.model_copy(update={"url": urljoin(page, self.url)})

    @property
    def withdrawn(self) -> str:
        """Why its authors took it back; empty: they did not."""
        return self.yanked if isinstance(self.yanked, str) else "no reason given" if self.yanked else ""


class Advisory(BaseModel):
    """One known vulnerability, as the index hands it on."""

    id: Plain
    aliases: list[Plain] = []
    summary: Plain | None = None
    details: Plain | None = None
    fixed_in: list[Plain] = []
    withdrawn: datetime | None = None


class Listing(NamedTuple):
    """What the indexes list for one package."""

    files: list[File]
    whole: bool
    """Every index that knows the package told it in JSON; a page for browsers tells no dates and is not read."""


class _Project(BaseModel):
    files: list[File]


class _Info(BaseModel):
    version: str


class _Release(BaseModel):
    info: _Info
    vulnerabilities: list[Advisory]  # no such key is no answer: an index without a database has none


class _Answer(NamedTuple):
    body: bytes
    is_json: bool


_Model = TypeVar("_Model", bound=BaseModel)


class Index:
    """Every index of pip's configuration that speaks HTTP."""

    def __init__(self, session: PipSession, addresses: list[str]) -> None:
        self._session = session
        self._addresses = addresses

    def files(self, name: str) -> Listing:
        """Every file that any index lists for *name*; none when each says that there is no such package.

        Raises:
            Unasked: there is no index to ask, or one cannot be read.
        """
        if not self._addresses:
            raise Unasked(f"{name}: pip's configuration has no index that speaks HTTP")
        found, whole = [], True
        for address in self._addresses:
            page = f"{address}/{name}/"
            answer = self._get(page, accept=f"{SIMPLE}, text/html;q=0.1")
            if answer is None:
                continue
            if answer.is_json:
                found += [file.at(page) for file in _parse(_Project, answer, name).files]
            else:
                whole = False
        return Listing(found, whole)

    def advisories(self, name: str, version: str) -> list[Advisory]:
        """What is known against *version* of *name*.

        An index that answers for the newest version only is asked for that, and believed if it is this one.

        Raises:
            Unasked: no index has a database, or none answers for this version.
        """
        for root in [a.removesuffix("/simple") for a in self._addresses if a.endswith("/simple")]:
            for path in (f"{name}/{version}", name):
                answer = self._get(f"{root}/pypi/{path}/json", accept="application/json")
                if answer is None:
                    continue
                release = _parse(_Release, answer, name)
                if _same(release.info.version, version):
                    return [advisory for advisory in release.vulnerabilities if advisory.withdrawn is None]
        raise Unasked(f"{name} {version}: no index answers for this version")

    def fetch(self, file: File) -> bytes:
        """The bytes of *file*; whoever asks compares the hash.

        Raises:
            Unasked: it cannot be had.
        """
        answer = self._get(file.url, accept="*/*")
        if answer is None:
            raise Unasked(f"{file.filename}: is listed and not there")
        return answer.body

    def _get(self, address: str, *, accept: str) -> _Answer | None:
        """What *address* answers; None when it says that it has no such thing."""
        what = urlsplit(address).path
        try:
            with self._session.get(address, headers={"Accept": accept}, stream=True) as answer:
                if answer.status_code in {404, 410}:
                    return None
                answer.raise_for_status()
                body = bytearray()
                for piece in answer.iter_content(2**16):
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise Unasked(f"{what}: an answer of more than {MAX_ANSWER_BYTES} bytes; not read")
                return _Answer(bytes(body), "json" in answer.headers.get("Content-Type", ""))
        except (
            OSError,
            ValueError,
            PipError,
        ) as why:  # requests' own faults are OSErrors, a broken address a ValueError
            raise Unasked(f"{urlsplit(address).path}: no answer ({type(why).__name__})") from why


@contextmanager
def configured() -> Iterator[Index]:
    """The index of pip's configuration, of this user and this machine."""
    command = create_command("download")
    options, _ = command.parse_args(["--no-cache-dir", "--no-input", "--retries=2"])
    addresses = [options.index_url, *options.extra_index_urls] if not options.no_index else []
    with command.main_context(), command._build_session(options) as session:  # noqa: SLF001 - the one way to pip's own
        yield Index(session, [a.rstrip("/") for a in addresses if a and a.startswith(("http://", "https://"))])


def _parse(model: type[_Model], answer: _Answer, name: str) -> _Model:
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as why:
        raise Unasked(f"{name}: an answer that is not the index's JSON ({why.error_count()} faults)") from why


def _same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
