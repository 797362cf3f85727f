"""Fetches one photo a class from the ISIC archive for the page to offer: `python -m train.download --examples`.

Only photos under CC-0 are taken. HAM10000's are not among them (CC BY-NC), so none that the network was trained on.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from skinapp.lesions import CODES
from skinapp.network.case_index import ISIC_ID
from skinapp.photo.examples import LIST, Example
from skinapp.photo.preprocess import PhotoError, open_photo
from train.data.connection import HEADERS, RETRIES, RETRY_PAUSE, TIMEOUT, DownloadError, reason

ISIC = "https://api.isic-archive.com"
LICENCE = "CC-0"
# What the archive calls the classes. Of a class that gathers several diagnoses the most usual one.
DIAGNOSES = {
    "akiec": 'diagnosis_3:"Solar or actinic keratosis"',
    "bcc": 'diagnosis_3:"Basal cell carcinoma"',
    "bkl": 'diagnosis_3:"Seborrheic keratosis"',
    "df": 'diagnosis_3:"Dermatofibroma"',
    "mel": 'diagnosis_2:"Malignant melanocytic proliferations (Melanoma)"',
    "nv": 'diagnosis_3:"Nevus"',
    "vasc": 'diagnosis_2:"Benign soft tissue proliferations - Vascular"',
}
CANDIDATES = 20  # of a class: more than one, for some photos may be too large or damaged
LARGEST = 10_000_000  # bytes: a photo to click on should not take long
LARGEST_ANSWER = 5_000_000  # bytes of JSON; twenty entries take some 30,000


def download_examples(
    folder: Path, server: str = ISIC, retry_pause: float = RETRY_PAUSE
) -> tuple[list[Example], list[str]]:
    """Fetch one photo a class into `folder`, which the page reads by `skinapp.photo.examples.fetched`.

    retry_pause: seconds. Returns what has come, and the classes of which the archive has no suitable photo. Raises
    DownloadError, and OSError where `folder` cannot be written; what the page showed before stays then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    with httpx.Client(headers=HEADERS, timeout=TIMEOUT, follow_redirects=True) as client:
        for code in tqdm(CODES, desc="examples", disable=None, leave=False):
            for image in _candidates(client, server, code, retry_pause):
                content = _get(client, image["files"]["full"]["url"], {}, LARGEST, retry_pause)
                if len(content) != image["files"]["full"]["size"] or not _readable(content):
                    continue
                example = Example(
                    code, f"{code}.jpg", image["isic_id"], image["copyright_license"], image["attribution"]
                )
                unfinished = folder / f"{example.file}.part"
                unfinished.write_bytes(content)
                os.replace(unfinished, folder / example.file)
                examples.append(example)
                break
    listed = folder / f"{LIST}.part"
    listed.write_text(
        json.dumps([asdict(example) for example in examples], indent=2) + "\n", encoding="utf-8"
    )
    os.replace(listed, folder / LIST)
    return examples, [code for code in CODES if code not in {example.code for example in examples}]


def _candidates(client: httpx.Client, server: str, code: str, retry_pause: float) -> Iterator[dict[str, Any]]:
    """What the archive finds of a class and is fit to be shown. Its own answer is not trusted about that."""
    query = f'{DIAGNOSES[code]} AND copyright_license:"{LICENCE}" AND image_type:dermoscopic'
    parameters = {"query": query, "limit": str(CANDIDATES)}
    answer = _get(client, f"{server}/api/v2/images/search/", parameters, LARGEST_ANSWER, retry_pause)
    try:
        images = json.loads(answer)["results"]
        fit = [image for image in images if _fits(image, server)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DownloadError(
            f"{server} did not answer as the ISIC archive does: check --server, or try again later."
        ) from error
    yield from fit


def _fits(image: dict[str, Any], server: str) -> bool:
    full, acquisition = image["files"]["full"], image["metadata"]["acquisition"]
    return (
        image["copyright_license"] == LICENCE
        and isinstance(image["attribution"], str)
        and ISIC_ID.fullmatch(image["isic_id"]) is not None
        and acquisition.get("image_type") == "dermoscopic"
        and 0 < full["size"] <= LARGEST
        and full["url"].startswith(("https://", f"{server}/"))
    )


def _get(
    client: httpx.Client, url: str, parameters: dict[str, str], largest: int, retry_pause: float
) -> bytes:
    """What lies at `url`, at most `largest` bytes. Raises DownloadError, after RETRIES where asking again may help."""
    asked = url.split("?")[0]  # without the signature that the archive's addresses end in
    for attempt in range(RETRIES):
        if attempt:
            time.sleep(retry_pause)
        try:
            # Parameters given as {} would delete those that a signed address brings along.
            with client.stream("GET", url, params=parameters or None) as answer:
                if answer.status_code == 200:
                    return _at_most(answer, largest)
                failure = f"it answered {answer.status_code} {answer.reason_phrase}"
                if answer.status_code not in (408, 429) and answer.status_code < 500:
                    break
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
            raise DownloadError(
                f"{asked} cannot be reached ({reason(error)}): check the network and --server, then run again."
            ) from error
        except httpx.HTTPError as error:
            failure = reason(error)
    raise DownloadError(f"{asked} does not deliver ({failure}): run the same command again later.")


def _at_most(answer: httpx.Response, largest: int) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > largest:
            raise DownloadError(
                f"{answer.url.host} sends more than {largest // 10**6} MB where less was told: try again later."
            )
    return bytes(content)


def _readable(content: bytes) -> bool:
    try:
        open_photo(content)
    except PhotoError:
        return False
    return True
