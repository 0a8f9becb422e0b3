"""
The build hook that puts the compiled modules into the wheel: `make wheel`, or HATCH_BUILD_HOOK_ENABLE_CUSTOM=true.

The wheel is then for one version of Python and one kind of machine; the sources lie in it too.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledModules(BuildHookInterface):
    """Compile before the wheel is packed."""

    PLUGIN_NAME = "custom"
    _folder = ""

    def dependencies(self) -> list[str]:
        """Return what the compiler needs: itself, and the types of all that the modules import."""
        return ["mypy>=1.15", "mypy-zope>=1.0.11", "setuptools>=70", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name what is to be packed; an editable install stays as it is."""
        if version == "editable":
            return
        sys.path.insert(0, str(Path(__file__).parent))
        from compiled import compile_into

        self._folder = tempfile.mkdtemp()
        folder = Path(self._folder)
        build_data["force_include"].update({str(folder / one): str(one) for one in compile_into(folder)})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up."""
        shutil.rmtree(self._folder, ignore_errors=True)
