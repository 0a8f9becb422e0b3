"""
Compile the pure modules on a message's way with mypyc: a tree in which they are machine code, the rest as it is.

    python etc/build/compiled.py FOLDER

copies the package there and compiles in place; a module is imported as machine code where that lies beside its source.
`make compiled` does it for trials and tests, and the build hook beside this file for a wheel.  Nothing of the program
knows of it, and without it everything is the same but slower (docs/compiled.md).

A C compiler and Python's headers are needed, and mypy, mypy-zope and setuptools, beside what the program itself needs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The rooms without I/O, except what a usual message never meets. What touches sockets, files and fakes stays as it is:
# it gains little, and behaved differently.
_ROOMS = {
    "mail": "addresses headers message parts trace",
    "smtp": "capabilities client client_events commands data envelope events lines paths replies server texts",
    "dialect": "bounds callback_data copies copy_fields infobip instructions jsontext layout options plan recipients "
    "sender sparkpost translate typed unsubscribe",
    "relay": "attempt bridge delivery histogram leases pool settlement tallies translation_tally upstream verdict",
}
MODULES = tuple(f"smtpbridge/{room}/{name}.py" for room, names in _ROOMS.items() for name in names.split())
_SETTINGS = "[mypy]\nignore_missing_imports = True\nplugins = mypy_zope:plugin\n"
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

setup(name="compiled", packages=[], ext_modules=mypycify(["--config-file", "mypy.ini", *sys.argv.pop(1).split()]))
"""


def compile_into(folder: Path) -> list[Path]:
    """Copy the package into `folder`, compile it there, and return the libraries, relative to `folder`."""
    sys.path.insert(0, str(Path(__file__).parent))
    from written_out import write_out

    shutil.copytree(ROOT / "smtpbridge", folder / "smtpbridge", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    sources = {name: (folder / name).read_text("utf-8") for name in MODULES}
    try:
        for name, source in sources.items():
            (folder / name).write_text(write_out(source), "utf-8")
        (folder / "mypy.ini").write_text(_SETTINGS, "utf-8")
        (folder / "compile.py").write_text(_SETUP, "utf-8")
        command = [sys.executable, "compile.py", " ".join(MODULES), "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=folder, env={**os.environ, "CFLAGS": "-O2 -g0"}, check=True)
    finally:
        # Beside the machine code lies what people wrote.
        for name, source in sources.items():
            (folder / name).write_text(source, "utf-8")
    for name in ("mypy.ini", "compile.py"):
        (folder / name).unlink()
    for name in ("build", ".mypy_cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return sorted(one.relative_to(folder) for one in folder.rglob("*.so"))


if __name__ == "__main__":
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    print(f"{len(compile_into(into))} libraries in {into}")  # noqa: T201
