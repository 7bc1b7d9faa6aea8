"""The cache of the rack's operating-system images stays small."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from ingot_rack import osimage
from ingot_rack.osimage import Variant


def test_images_of_old_recipes_go_and_what_is_used_stays(tmp_path: Path) -> None:
    root = tmp_path / "osimage"
    wanted = osimage.entry(Variant.TINY, root)
    for name in (wanted.name, *(f"tiny-{number}" for number in range(5)), "debian-0"):
        (root / name).mkdir(parents=True)
        (root / name / "image.qcow2").write_bytes(b"abc")
        fields = {"variant": "tiny", "path": "image.qcow2", "sha256": "0", "size": 3, "virtual_size": 3, "user": "root"}
        (root / name / "manifest.json").write_text(json.dumps(fields))
        old = time.time() - 100_000 - int(name[-1], 16)
        os.utime(root / name, (old, old))
    os.utime(root / "tiny-4")
    with (root / "tiny-3.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert osimage.ensure(Variant.TINY, root=root).path.read_bytes() == b"abc"
    left = sorted(one.name for one in root.iterdir() if one.is_dir())
    assert left == sorted([wanted.name, "debian-0", "tiny-3", "tiny-4"])
