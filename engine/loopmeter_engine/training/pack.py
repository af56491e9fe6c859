"""Pack what training needs into one archive, for a machine that has numpy, scipy, torch and safetensors and no network.

    python -m loopmeter_engine.training.pack training.tar --bundle .cache/bundle
    tar xf training.tar && bash loopmeter_engine/training/recipe.sh ...

Inside: this package's code, the text encoder for captions, the bundle as ``bundle/``, and in place of the SDK, which
would bring its own dependencies, the two names that training takes from it.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from pathlib import Path
from typing import get_args

import loopmeter_engine
from loopmeter import LAYERS, Layer
from loopmeter_engine.weights_io import WEIGHTS, weight_files

_PACKAGE = Path(loopmeter_engine.__file__).parent
_SIZE_MAX_BYTES = 60_000_000
_LEFT_OUT = {path.name for path in weight_files(WEIGHTS)}  # Training makes them.


def pack(out: Path, bundle: Path | None) -> int:
    """Writes the archive; gives its size in bytes."""
    names = {"Layer": f"Literal{list(get_args(Layer))}", "LAYERS": repr(LAYERS)}
    sdk = "from typing import Literal\n\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
    with tarfile.open(out, "w") as tar:
        for path in sorted(_PACKAGE.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name not in _LEFT_OUT:
                tar.add(path, Path("loopmeter_engine") / path.relative_to(_PACKAGE))
        for path in sorted(bundle.iterdir()) if bundle else ():
            tar.add(path, Path("bundle") / path.name)
        entry = tarfile.TarInfo("loopmeter/__init__.py")
        entry.size = len(sdk)
        tar.addfile(entry, io.BytesIO(sdk.encode()))
    return out.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bundle", type=Path, help="recorded instruments to take along")
    args = parser.parse_args()
    size = pack(args.out, args.bundle)
    print(f"{args.out}: {size / 1e6:.1f} MB")
    if size > _SIZE_MAX_BYTES:
        parser.exit(1, f"expected at most {_SIZE_MAX_BYTES / 1e6:.0f} MB, found {size / 1e6:.1f}\n")


if __name__ == "__main__":
    main()
