"""Measurements in a process of their own:  python -m optkit.bench.worker TASK < request.json > answer.json"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from optkit import registry

TASKS = {"memory": "optkit.bench.memory", "published": "optkit.bench.checkout"}
"""The modules whose `answer(request)` does a task."""


def ask(task: str, **request: Any) -> Any:
    """The answer of a new process; DataError with the last line of what went wrong there."""
    home = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", "optkit.bench.worker", task]
    data = json.dumps({"threads": torch.get_num_threads(), **request})
    done = subprocess.run(command, input=data, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise registry.DataError(f"the measurement {task!r} failed: {last}")
    return json.loads(done.stdout)


def main() -> int:
    """Answer the request on the standard input. What others print goes to the standard error."""
    task, answers = sys.argv[1], sys.stdout
    sys.stdout = sys.stderr
    request = json.load(sys.stdin)
    torch.set_num_threads(request.pop("threads"))
    try:
        answer = importlib.import_module(TASKS[task]).answer(**request)
    except registry.DataError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(answer, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
