"""Print what each check has found as a line of JSON, as soon as it is known; for the window.

``python -m napari_pathseg.doctor FOLDER``.
"""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from napari_pathseg.doctor.examination import examine


def main() -> None:
    """Make all checks; SIGTERM ends them, and the processes that they started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for finding in examine(Path(sys.argv[1])):
        print(json.dumps(asdict(finding)), flush=True)


if __name__ == "__main__":
    main()
