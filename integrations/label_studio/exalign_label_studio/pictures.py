"""Pictures of tasks: those that Label Studio itself serves, and those within the task. Nothing else is asked for."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

#: Where Label Studio serves pictures, below its own address.
_FOLDERS = ("data/", "storage-data/", "static/")

_DATA = re.compile(r"data:image/[a-zA-Z0-9.+-]+;base64,")

#: Times that a token of Label Studio's is asked for anew, for one picture.
_SECOND_TRIES = 1


class PictureError(Exception):
    """A picture is not to be had; says why."""


@dataclass(frozen=True)
class LabelStudio:
    """The one Label Studio whose pictures are fetched.

    Attributes:
        url: its address, such as ``http://localhost:8080``.
        token: a personal access token, or a legacy one; empty: none is sent.
        picture_bytes: largest picture.
        seconds: longest time for one.
    """

    url: str
    token: str = ""
    picture_bytes: int = 32 * 2**20
    seconds: float = 30.0

    def base(self) -> httpx.URL:
        """Its address, with a slash at the end.

        Raises:
            ValueError: it is none.
        """
        try:
            base = httpx.URL(self.url if self.url.endswith("/") else self.url + "/")
        except httpx.InvalidURL as error:
            raise ValueError(f"{self.url!r} is no address: {error}") from None
        if base.scheme not in ("http", "https") or not base.host or base.userinfo or base.query or base.fragment:
            raise ValueError(f"{self.url!r} must be http:// or https://, a host, and no user, query or fragment")
        return base


class Pictures:
    """What fetches them. One for a process; `close` it.

    Raises:
        ValueError: the address of Label Studio is none.
    """

    def __init__(self, place: LabelStudio) -> None:
        self._place, self._base = place, place.base()
        self._http = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=place.seconds)
        self._access = ""

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def get(self, value: object) -> bytes:
        """The bytes of a picture, as a task's data have it.

        Args:
            value: an address of Label Studio's, absolute or without its host, or a ``data:`` URI in base64.

        Raises:
            PictureError: it is another one's, too large, too slow, or not there.
        """
        if not isinstance(value, str):
            raise PictureError("a task's picture must be a text")
        if value.startswith("data:"):
            return self._within(value)
        address = self._address(value)
        try:
            async with asyncio.timeout(self._place.seconds):
                return await self._fetched(address)
        except TimeoutError:
            raise PictureError(f"the picture did not arrive within {self._place.seconds:g} s") from None
        except httpx.HTTPError as error:
            raise PictureError(f"Label Studio does not answer: {type(error).__name__} {error}") from None

    def _within(self, value: str) -> bytes:
        head = _DATA.match(value)
        if head is None:
            raise PictureError("a data: URI must be data:image/…;base64,…")
        if (len(value) - head.end()) * 3 // 4 > self._place.picture_bytes:
            raise PictureError(f"the picture is larger than {self._place.picture_bytes} bytes")
        try:
            return base64.b64decode(value[head.end() :], validate=True)
        except (binascii.Error, ValueError):
            raise PictureError("a data: URI is not in base64") from None

    def _address(self, value: str) -> httpx.URL:
        try:
            address = self._base.join(value)
        except (httpx.InvalidURL, ValueError) as error:
            raise PictureError(f"the picture's address is none: {error}") from None
        same = (address.scheme, address.host, address.port) == (self._base.scheme, self._base.host, self._base.port)
        if not same or address.userinfo:
            raise PictureError(f"only pictures of {self._base} are fetched, and those within the task")
        path = unquote(address.raw_path.partition(b"?")[0].decode("ascii"))
        folders = tuple(self._base.path + folder for folder in _FOLDERS)
        # What a proxy may decode once more is not let through.
        if not path.startswith(folders) or ".." in path.split("/") or "\\" in path or "%" in path:
            raise PictureError(f"only what is below {', '.join(folders)} is fetched")
        return address

    async def _fetched(self, address: httpx.URL) -> bytes:
        for left in range(_SECOND_TRIES, -1, -1):
            async with self._http.stream("GET", address, headers=await self._headers()) as answer:
                if answer.status_code == 401 and left and self._access:
                    self._access = ""  # it has run out
                    continue
                if answer.status_code != 200:
                    raise PictureError(f"Label Studio answered {answer.status_code} to the picture")
                # Bytes as they come: what is compressed is not unpacked, for its size would not be bounded.
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > self._place.picture_bytes:
                        raise PictureError(f"the picture is larger than {self._place.picture_bytes} bytes")
                return bytes(body)
        raise PictureError("Label Studio refuses the token")

    async def _headers(self) -> dict[str, str]:
        """What tells Label Studio who asks. A personal access token is exchanged for one of a few minutes."""
        token, headers = self._place.token, {"accept-encoding": "identity"}
        if not token:
            return headers
        if token.count(".") != 2:  # no JWT: a legacy token
            return headers | {"authorization": f"Token {token}"}
        if not self._access:
            answer = await self._http.post(self._base.join("api/token/refresh/"), json={"refresh": token})
            try:
                access = answer.json()["access"] if answer.status_code == 200 else None
            except (ValueError, KeyError, TypeError):
                access = None
            if not isinstance(access, str) or not access.isascii() or not access.isprintable():
                raise PictureError(f"Label Studio answered {answer.status_code} to the token")
            self._access = access
        return headers | {"authorization": f"Bearer {self._access}"}
