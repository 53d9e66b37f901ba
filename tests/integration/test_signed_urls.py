"""URLs signed with a service account's key: by the rules of V4, and taken by a server of the same API."""

import datetime
import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.storage import CannotSign, open_store
from shared.storage.gcs import GcsStore
from tests.conftest import Servers

SIGN = {"media_type": "text/csv", "file_name": "病例 1.csv"}


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def account(key: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a service account; nothing is asked of Google."""
    facts = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "client_email": "mill@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(facts))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)


@pytest.mark.usefixtures("account")
async def test_the_signature_is_that_of_the_key(key: rsa.RSAPrivateKey) -> None:
    store = GcsStore("bucket")
    url = urlsplit(await store.sign_url("exports/r/a b.csv", 600, **SIGN))
    await store.close()
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc, unquote(url.path)) == (
        "https",
        "storage.googleapis.com",
        "/bucket/exports/r/a b.csv",
    )
    assert query["X-Goog-Expires"] == ["600"]
    assert query["response-content-disposition"] == ["attachment; filename*=UTF-8''%E7%97%85%E4%BE%8B%201.csv"]
    signed_at = datetime.datetime.strptime(query["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ")
    assert abs(datetime.datetime.utcnow() - signed_at) < datetime.timedelta(minutes=5)
    # https://cloud.google.com/storage/docs/authentication/canonical-requests
    unsigned, _, signature = url.query.partition("&X-Goog-Signature=")
    canonical = "\n".join(["GET", url.path, unsigned, f"host:{url.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    scope = query["X-Goog-Credential"][0].partition("/")[2]
    text = "\n".join(
        ["GOOG4-RSA-SHA256", query["X-Goog-Date"][0], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key.public_key().verify(bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.usefixtures("account")
async def test_the_url_gives_the_object(gs_store_url: str, servers: Servers) -> None:
    emulator = servers.buckets.url
    plain = open_store(gs_store_url, emulator_url=emulator)
    await plain.put("exports/r/1.csv", [b"a,b\n"], google_crc32c.value(b"a,b\n"))
    with pytest.raises(CannotSign, match="no key"):
        await plain.sign_url("exports/r/1.csv", 60, **SIGN)
    await plain.close()
    signing = open_store(gs_store_url)
    url = await signing.sign_url("exports/r/1.csv", 60, **SIGN)
    await signing.close()
    answer = requests.get(url.replace("https://storage.googleapis.com", emulator), timeout=10)
    assert (answer.status_code, answer.content) == (200, b"a,b\n")
