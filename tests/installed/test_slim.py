"""Libraries that were made small work as before."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from checkout import ROOT

LIBRARIES = ("uvloop", "msgspec", "cryptography", "httptools", "bcrypt", "multidict")
USE = """
import asyncio, pathlib, sys
import bcrypt, httptools, msgspec, multidict, uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
here = pathlib.Path(sys.argv[1])
for used in (bcrypt, httptools, msgspec, multidict, uvloop):
    assert here in pathlib.Path(used.__file__).parents, used
key = AESGCM(bytes(32))
assert key.decrypt(bytes(12), key.encrypt(bytes(12), b"text", None), None) == b"text"
assert msgspec.json.decode(b"[1]", type=list[int]) == [1]
assert bcrypt.checkpw(b"word", bcrypt.hashpw(b"word", bcrypt.gensalt(4)))
assert multidict.CIMultiDict(A=1)["a"] == 1
async def late():
    raise ValueError("from inside the loop")  # an exception crosses compiled frames
try:
    uvloop.run(late())
except ValueError as error:
    assert "inside" in str(error)
"""


def test_slim_libraries_work(tmp_path: Path) -> None:
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(spec.origin).parent, tmp_path / name, ignore=ignored)
    odd = tmp_path / "uvloop/odd.so"
    odd.write_bytes(b"\x7fELF\x02\x01 and nothing else")
    before = taken(tmp_path)
    slim = [sys.executable, str(ROOT / "packaging/slim.py"), str(tmp_path)]
    subprocess.run(slim, check=True, timeout=60)
    once = taken(tmp_path)
    assert once < before / 2, "most of it was for debuggers"
    assert odd.read_bytes() == b"\x7fELF\x02\x01 and nothing else"
    assert not list(tmp_path.rglob("*.pyx"))
    subprocess.run(slim, check=True, timeout=60)
    assert taken(tmp_path) == once, "doing it again changes nothing"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{USE}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
