"""Makes the files of a conversation readable: fetched, checked, and as text, as scans read by a model, or unchanged."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from control_plane.cache.rules import CacheControl
from control_plane.calls.requests import CallRequest
from control_plane.calls.runner import JobRef, Prepare
from control_plane.calls.service import CallService
from control_plane.chat import ChatRequest, EndpointRequest, EndpointResponse
from control_plane.documents.parts import (
    Document,
    Part,
    Spot,
    documents_in,
    image_part,
    pdf_part,
    replaced,
    text_length,
    text_part,
)
from control_plane.errors import FileRefused, ModelGroupNotFound, TooLarge
from control_plane.fetching.data_urls import content_of, data_url, is_data_url
from control_plane.fetching.fetcher import MAX_FILES, Fetcher
from control_plane.fetching.media_types import PDF, media_type_of
from control_plane.gateway.documents import reads_pdf
from control_plane.ids import JobId, Subject, TeamId
from control_plane.model_groups.service import ModelGroupService
from control_plane.pdf.reader import PdfReader
from control_plane.tenants.principal import Principal

Engine = Literal["pdf-text", "mistral-ocr", "native"]

OCR_GROUP = "mistral-ocr"
"""The model group that reads scans: access to it is access to the engine."""
OCR_PURPOSE = "file-parser"


@dataclass(slots=True)
class Readied:
    """A request with its files processed. `scans` are left to be read in the call's job, which costs money. `subject`:
    the call, when its id is known before.
    """

    call_request: CallRequest
    subject: Subject | None = None
    warnings: list[str] = field(default_factory=list)
    scans: "list[Scan]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scan:
    """A PDF for the engine that reads scans."""

    spot: Spot
    name: str
    url: str
    pages: int


class DocumentService:
    """The files of calls. `max_chars`: of text that a call may have, files included."""

    def __init__(
        self,
        calls: CallService,
        groups: ModelGroupService,
        fetcher: Fetcher,
        pdfs: PdfReader,
        *,
        max_bytes: int,
        max_chars: int,
    ) -> None:
        self._calls = calls
        self._groups = groups
        self._fetcher = fetcher
        self._pdfs = pdfs
        self._max_bytes = max_bytes
        self._max_chars = max_chars

    def reading(
        self,
        principal: Principal,
        job_ref: JobRef,
        call_request: CallRequest,
        engine: Engine | None,
        warnings: list[str],
    ) -> Prepare | None:
        """The reader of a request's files, for after its admission in its job; None without files.

        No engine: PDFs go to models that read them. `warnings`: gets unsupported parts. Raises: FileRefused for too
        many files.
        """
        request = call_request.request
        assert isinstance(request, ChatRequest), "only chat calls have files"
        found = documents_in(request.messages)
        if not found:
            return None
        if len(found) > MAX_FILES:
            raise FileRefused(f"The request has {len(found)} files; {MAX_FILES} are allowed.")

        async def read(job_id: JobId, call_request: CallRequest) -> CallRequest:
            readied = Readied(call_request, job_ref.subject, warnings)
            await self._make_ready(principal, job_ref, readied, found, engine)
            return await self._with_scans(principal, job_id, readied)

        return read

    async def _make_ready(
        self, principal: Principal, job_ref: JobRef, readied: Readied, found: Sequence[Document], engine: Engine | None
    ) -> None:
        """The files as the call's model reads them. Raises: FileRefused, TooLarge; what choosing a model raises."""
        call_request = readied.call_request
        request = call_request.request
        assert isinstance(request, ChatRequest), "as in reading"
        if engine == "mistral-ocr":
            await self._check_ocr(principal)
        able = await self._able(principal, job_ref, call_request)
        parts = _images(found, contents := await self._contents(principal.team(), found))
        chars = self._max_chars - text_length(request.messages)
        for document, content in zip(found, contents, strict=True):
            if document.spot in parts:
                continue
            match engine:
                case "pdf-text":
                    text = await self._text(principal.team(), document.name, content, chars, readied.warnings)
                    chars -= len(text)
                    parts[document.spot] = [text_part(document.name, text)]
                case "mistral-ocr":
                    readied.scans.append(await self._scan(principal.team(), document, content, readied.warnings))
                case _ if able:
                    parts[document.spot] = [pdf_part(document.name, data_url(PDF, content))]
                case _:
                    parts[document.spot] = []
                    readied.warnings.append(_left_out(document.name))
        readied.call_request = replace(
            call_request,
            request=ChatRequest(replaced(request.messages, parts), request.parameters),
            only=able if _holds_pdf(parts) else None,
        )

    async def _with_scans(self, principal: Principal, job_id: JobId, readied: Readied) -> CallRequest:
        """The request with its scans read, page by page, each by a call with its own admission."""
        call_request = readied.call_request
        if not readied.scans:
            return call_request
        request = call_request.request
        assert isinstance(request, ChatRequest), "as in reading"
        if call_request.permit is not None:
            await call_request.permit.give_back()
        chars = self._max_chars - text_length(request.messages)
        parts: dict[Spot, Sequence[Part]] = {}
        for number, scan in enumerate(readied.scans):
            subject = readied.subject and readied.subject.part(number)
            text = await self._read_scan(principal, job_id, scan, subject, call_request.cache_control)
            text = _cut(text, scan.name, chars, readied.warnings)
            chars -= len(text)
            parts[scan.spot] = [text_part(scan.name, text)]
        return replace(
            call_request, request=ChatRequest(replaced(request.messages, parts), request.parameters), permit=None
        )

    async def _able(self, principal: Principal, job_ref: JobRef, call_request: CallRequest) -> frozenset[str]:
        """Those of the call's models that read PDFs."""
        target = await self._calls.find_target(principal, call_request, job_ref.job_id)
        router = self._groups.catalog.router
        return frozenset(model for model in target.models if reads_pdf(router, model))

    async def _check_ocr(self, principal: Principal) -> None:
        """Raises: FileRefused where there is no such engine, ModelGroupNotAllowed."""
        try:
            await self._calls.choose(principal, CallRequest(ChatRequest([]), model_group=OCR_GROUP))
        except ModelGroupNotFound:
            raise FileRefused(
                f"The engine '{OCR_GROUP}' is not set up here: it needs a model group of that name. The engine 'pdf-text' "
                "reads PDFs that hold text."
            ) from None

    async def _contents(self, team: TeamId, documents: Sequence[Document]) -> list[bytes]:
        """Raises: FileRefused, TooLarge."""
        linked = {each.source for each in documents if not is_data_url(each.source)}
        fetched = await self._fetcher.fetch_all(linked, team=team)
        contents = [
            await asyncio.to_thread(content_of, each.source, each.name)
            if is_data_url(each.source)
            else fetched[each.source]
            for each in documents
        ]
        if sum(map(len, contents)) > self._max_bytes:
            raise TooLarge(f"The files of the request are larger than {self._max_bytes} bytes together.")
        return contents

    async def _text(self, team: TeamId, name: str, content: bytes, chars: int, warnings: list[str]) -> str:
        """The text of a PDF. Raises: FileRefused, TooLarge."""
        if chars <= 0:
            raise TooLarge(f"The messages are longer than {self._max_chars} characters, with the text of their files.")
        read = await self._pdfs.text(content, name, max_chars=chars, team=team)
        text = "\n\n".join(read.texts)[:chars]
        if read.unreadable and not text.strip():
            raise FileRefused(f"'{name}' has no page that can be read.")
        if read.pages > self._pdfs.max_pages:
            warnings.append(_first_pages(name, self._pdfs.max_pages, read.pages))
        if read.unreadable:
            warnings.append(f"{name}: {read.unreadable} of its pages could not be read.")
        if read.is_cut:
            warnings.append(_first_chars(name, len(text)))
        if not text.strip():
            warnings.append(f"{name} holds no text; it may be scanned. The engine '{OCR_GROUP}' reads scans.")
        return text

    async def _scan(self, team: TeamId, document: Document, content: bytes, warnings: list[str]) -> Scan:
        pages = await self._pdfs.count(content, document.name, team=team)
        if pages > self._pdfs.max_pages:
            warnings.append(_first_pages(document.name, self._pdfs.max_pages, pages))
        return Scan(document.spot, document.name, data_url(PDF, content), pages)

    async def _read_scan(
        self, principal: Principal, job_id: JobId, scan: Scan, subject: Subject | None, cache_control: CacheControl
    ) -> str:
        """One call of the engine, billed by the page in the same job."""
        arguments: dict[str, Any] = {"document": {"type": "document_url", "document_url": scan.url}}
        pages = min(scan.pages, self._pdfs.max_pages)
        if pages < scan.pages:
            arguments["pages"] = list(range(pages))
        request = EndpointRequest("ocr", arguments, units=pages)
        call_request = CallRequest(
            request, model_group=OCR_GROUP, purpose=OCR_PURPOSE, subject=subject, cache_control=cache_control
        )
        answer = (await self._calls.complete(principal, job_id, call_request)).answer
        assert isinstance(answer, EndpointResponse), "as requested"
        return "\n\n".join(str(page.get("markdown") or "") for page in answer.body.get("pages") or ())


def _images(found: Sequence[Document], contents: Sequence[bytes]) -> dict[Spot, Sequence[Part]]:
    """The images among the files, as parts. Raises: FileRefused for what is neither an image nor a PDF."""
    parts: dict[Spot, Sequence[Part]] = {}
    for document, content in zip(found, contents, strict=True):
        kind = media_type_of(content)
        if kind is None:
            raise FileRefused(f"'{document.name}' is neither a PDF nor an image (PNG, JPEG, GIF, WebP).")
        if kind != PDF:
            parts[document.spot] = [image_part(document.part, data_url(kind, content))]
    return parts


def _holds_pdf(parts: Mapping[Spot, Sequence[Part]]) -> bool:
    return any(part["type"] == "file" for put in parts.values() for part in put)


def _cut(text: str, name: str, chars: int, warnings: list[str]) -> str:
    if len(text) <= max(chars, 0):
        return text
    warnings.append(_first_chars(name, max(chars, 0)))
    return text[: max(chars, 0)]


def _first_pages(name: str, read: int, pages: int) -> str:
    return f"{name}: only its first {read} of {pages} pages were read."


def _first_chars(name: str, chars: int) -> str:
    return f"{name}: only the first {chars} characters of its text were taken."


def _left_out(name: str) -> str:
    return (
        f"{name} was left out: the model does not read PDFs. Its text can be sent instead, with the engine 'pdf-text' "
        'in plugins: [{"id": "file-parser", "pdf": {"engine": "pdf-text"}}].'
    )
