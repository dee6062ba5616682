"""In a process of its own: what is set apart stays so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import gc, weakref
from src.system.interpreter import gc_paused

class Node:
    pass

def garbage():
    node = Node()
    node.itself = node
    return weakref.ref(node)

with gc_paused():
    assert not gc.isenabled()
    import pytorch_lightning
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000

left = garbage()
try:
    with gc_paused():
        raise ImportError
except ImportError:
    assert gc.isenabled()
gc.collect()
assert left() is None  # the second time nothing was set apart
"""


def test_garbage_is_collected_again_afterwards() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""  # of leaks


END = """
import atexit, sys
from src.system.interpreter import leave

class Last:
    def __del__(self):
        print("taken apart")

last = Last()
atexit.register(print, "at the end")
print("said", end=" ")
leave(CODE)
"""


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("3", 3, ""),
        ("None", 0, "taken apart\n"),
        ("'why'", 1, "taken apart\n"),
    ],
)
def test_leaving_does_what_is_to_be_done_at_the_end(code: str, status: int, said: str) -> None:
    words = [sys.executable, "-c", END.replace("CODE", code)]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (status, f"said at the end\n{said}")
    assert answer.stderr == ("why\n" if status == 1 else "")


def test_a_prompt_is_not_lost() -> None:
    words = [sys.executable, "-i", "-c", "from src.system.interpreter import leave; leave(0)"]
    answer = subprocess.run(words, cwd=ROOT, input="print('still', 'here')\n", capture_output=True, text=True, timeout=60)
    assert "still here" in answer.stdout


def test_words_that_cannot_be_written_are_not_lost_in_silence() -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", END.replace("CODE", "0")]
        environment = {**os.environ, "PYTHONUNBUFFERED": ""}
        answer = subprocess.run(words, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert answer.returncode == 120  # Python's for this
    assert "No space left on device" in answer.stderr


def test_an_output_that_was_closed_before_the_start_is_no_fault() -> None:
    words = ["bash", "-c", 'exec "$@" >&-', "bash", sys.executable, "-c", "from src.system.interpreter import leave; leave(3)"]
    answer = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (answer.returncode, answer.stderr) == (3, "")
