"""In a process of its own: what is set apart stays so."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = """
import gc, weakref
from src.imports import at_rest

class Node:
    pass

def garbage():
    node = Node()
    node.itself = node
    return weakref.ref(node)

with at_rest():
    assert not gc.isenabled()
    import pytorch_lightning
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000

left = garbage()
try:
    with at_rest():
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
