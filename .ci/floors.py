"""Print the lowest versions that pyproject.toml declares for some extras, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
extras = (project["optional-dependencies"][name] for name in sys.argv[1:])
for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
    if requirement.startswith(f"{project['name']}["):  # another extra
        continue
    name, floor = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", requirement).groups()
    print(f"{name}=={floor}")
