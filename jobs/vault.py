"""Secrets at rest: document passwords and webhook secrets, encrypted with `PAGEMILL_SECRET_KEY`.

Fernet (AES-128-CBC with HMAC-SHA256) under a key derived from the setting by HKDF-SHA256 (RFC 5869), so that any
long random text will do. A token says nothing about its text but the length, in steps of 16 bytes, and the time it
was sealed.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jobs.errors import InternalError, InvalidRequest
from jobs.settings import SecretSettings

MIN_KEY = 16
"""Characters. HKDF does not slow down guessing, so a short key would be no key."""

# Separates these keys from any other ever derived from the same setting. Changing it makes every token unreadable.
_PURPOSE = b"pagemill secrets at rest, version 1"


class Vault:
    """Seals and opens short texts. Thread-safe."""

    def __init__(self, secret_key: str) -> None:
        """Raises InvalidRequest when the key is too short to protect anything."""
        if len(secret_key) < MIN_KEY:
            raise InvalidRequest(
                f"PAGEMILL_SECRET_KEY must be random text of at least {MIN_KEY} characters",
                where="PAGEMILL_SECRET_KEY",
                limit=MIN_KEY,
                actual=len(secret_key),
            )
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret_key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, text: str) -> str:
        """An opaque ASCII token, different each time."""
        return self._fernet.encrypt(text.encode("utf-8", "surrogatepass")).decode("ascii")

    def open(self, token: str) -> str:
        """The sealed text. Raises InternalError when the token was sealed with another key, or is damaged."""
        try:
            return self._fernet.decrypt(token).decode("utf-8", "surrogatepass")
        except (InvalidToken, ValueError):  # ValueError: not even ASCII
            raise InternalError(
                "a stored secret cannot be opened: PAGEMILL_SECRET_KEY is not the key it was sealed with"
            ) from None


def open_vault(settings: SecretSettings) -> Vault | None:
    """The vault, or None where no key is set: then nothing secret can be accepted."""
    return Vault(settings.secret_key.get_secret_value()) if settings.secret_key else None
