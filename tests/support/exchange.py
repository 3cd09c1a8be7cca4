"""An exchange folder for tests: queries of six images, and answers that annotators save."""

import os

import tifffile
from PIL import Image

import alkit
from alkit import FolderOracle, Query

CLASSES = ("skin", "lesion")
IMAGES, MASKS = alkit.synthetic.lesions(6, size=16, seed=3)
POOL = alkit.ArrayPool(IMAGES)
LONG_AGO = 1_700_000_000


def query(row, round=0, rank=None, **more):
    return Query(f"{row:04}", round=round, rank=row if rank is None else rank, sizes=((16, 16),), **more)


def oracle_in(place, **arguments):
    return FolderOracle(place, **{"classes": CLASSES, "images": POOL, "settle": 0, **arguments})


def answer(place, query, content=None, ending=".png", by="ann", at=LONG_AGO):
    """Write an answer as a person does, long ago."""
    path = place / by / f"{query.key}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes | str):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif ending.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, content)
    else:
        Image.fromarray(MASKS[int(query.id)] if content is None else content).save(path)
    os.utime(path, (at, at))
    return path


def everything(place):
    """Return all files with their contents and times of change."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
