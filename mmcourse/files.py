"""Files that are written whole or not at all, whatever happens meanwhile: a full disk, an error, the end of the process."""

import contextlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def whole(path, mode=0o644):
    """`with whole(path) as beside:` gives a new file's path to write to. At the end that file, with these permissions,
    takes the place of `path`; after an error it is gone and `path` is as it was."""
    path = Path(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".part")
    os.close(handle)
    try:
        yield Path(beside)
        os.chmod(beside, mode)
        with open(beside, "r+b") as file:
            os.fsync(file.fileno())                        # else a power cut could leave the new name without the content
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def write(path, content, mode=0o644):
    """Write text (as UTF-8) or bytes into a file, whole or not at all."""
    with whole(path, mode) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
