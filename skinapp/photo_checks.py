"""Is the photo fit to be read? What a photographer could do better, before any number is believed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One property of a photo. `name`: a word for programs; `finding`: one sentence, what was found; `advice`: one
    sentence, what to do about it, empty where the check is passed."""

    name: str
    passed: bool
    finding: str
    advice: str
