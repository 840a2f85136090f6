"""Write the notebooks for students into examples/notebooks/, from the scripts in examples/tutorial/.

    python docs/notebooks.py

tests/course/test_notebooks.py checks that they are up to date.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tinygrad_adam.course.notebooks import write_notebooks

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    shutil.rmtree(ROOT / "examples" / "notebooks", ignore_errors=True)
    for path in write_notebooks(ROOT / "examples" / "notebooks"):
        print(path.relative_to(ROOT))
