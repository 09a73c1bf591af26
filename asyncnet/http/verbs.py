"""Verbs: the methods of HTTP by name, over one `request`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.http.content import Parts, Source
from asyncnet.http.request import Fields, Headers
from asyncnet.http.response import Response


class Verbs(ABC):
    """What can be asked of HTTP; whoever fills in `request` has the rest."""

    @abstractmethod
    async def request(
        self,
        method: str,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        first_bytes: int | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send one request and read its answer."""

    async def get(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        first_bytes: int | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """GET: give what is at a URL.

        Arguments and errors as in `request`.
        """
        return await self.request(
            "GET",
            url,
            credentials,
            params=params,
            headers=headers,
            first_bytes=first_bytes,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def head(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """HEAD: give the head of what GET would give; its body is empty.

        Arguments and errors as in `request`.
        """
        return await self.request(
            "HEAD",
            url,
            credentials,
            params=params,
            headers=headers,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def options(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """OPTIONS: ask what may be done there.

        Arguments and errors as in `request`.
        """
        return await self.request(
            "OPTIONS",
            url,
            credentials,
            params=params,
            headers=headers,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def delete(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """DELETE what is there.

        Arguments and errors as in `request`.
        """
        return await self.request(
            "DELETE",
            url,
            credentials,
            params=params,
            headers=headers,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def post(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """POST a body: exactly one of `form`, `json`, `body` and `parts`.

        Arguments and errors as in `request`.
        """
        _one_body(form, json, body, parts)
        return await self.request(
            "POST",
            url,
            credentials,
            params=params,
            headers=headers,
            form=form,
            json=json,
            body=body,
            parts=parts,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def put(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """PUT a body in the place of what is there: exactly one of `form`, `json`, `body` and `parts`.

        Arguments and errors as in `request`.
        """
        _one_body(form, json, body, parts)
        return await self.request(
            "PUT",
            url,
            credentials,
            params=params,
            headers=headers,
            form=form,
            json=json,
            body=body,
            parts=parts,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )

    async def patch(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Response:
        """PATCH what is there by a body: exactly one of `form`, `json`, `body` and `parts`.

        Arguments and errors as in `request`.
        """
        _one_body(form, json, body, parts)
        return await self.request(
            "PATCH",
            url,
            credentials,
            params=params,
            headers=headers,
            form=form,
            json=json,
            body=body,
            parts=parts,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            timeout=timeout,
        )


def _one_body(*bodies: object) -> None:
    if sum(body is not None for body in bodies) != 1:
        raise UsageError("exactly one of form, json, body and parts; an empty body is body=b''")
