import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_strokes.py"


def test_ten_kills_in_mid_painting_lose_no_stroke_and_writing_in_place_does():
    found = subprocess.run([sys.executable, SCRIPT, "--short"], capture_output=True, text=True, check=True)
    answer = json.loads(found.stdout.splitlines()[-1])
    assert answer.pop("control_losses") > 0
    assert answer == {"kills": 10, "unreadable": 0, "oldest_lost_s": 0.0, "history_lost": 0}
