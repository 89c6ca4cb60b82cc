"""Files of published data sets: from a folder of one's own, or downloaded once, with their checksums verified."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """A file as its publisher offers it.

    folder, name: where it lies in the folder that OPTKIT_DATA names;  address: of the publisher's folder;  sha256: of
    its content.
    """

    folder: str
    name: str
    address: str
    sha256: str

    def path(self) -> Path:
        """The file, verified: below OPTKIT_DATA where that is set, else in the user's cache, downloaded if need be.

        Raises FileNotFoundError for a file that is missing below OPTKIT_DATA, ValueError for one that is truncated or
        altered, and RuntimeError where a download needs pooch and it is not installed.
        """
        given = os.environ.get("OPTKIT_DATA")
        return self._given(Path(given)) if given else self._download()

    def _given(self, folder: Path) -> Path:
        path = folder / self.folder / self.name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; put {self.address}{self.name} there, or unset OPTKIT_DATA to download it"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{path} is truncated or altered: its sha256 is {found}, that of the published file {self.sha256}; "
                f"replace it with {self.address}{self.name}"
            )
        return path

    def _download(self) -> Path:
        try:
            import pooch  # only those who download need it
        except ImportError:
            raise RuntimeError(
                f"to download {self.name}, install pooch (pip install optkit[data]), or set OPTKIT_DATA to a folder "
                f"that holds {self.folder}/{self.name}"
            ) from None
        folder = pooch.os_cache("optkit") / self.folder
        return Path(
            pooch.retrieve(self.address + self.name, f"sha256:{self.sha256}", self.name, folder, progressbar=True)
        )
