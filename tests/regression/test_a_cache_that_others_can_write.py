"""A compiled model was loaded from a shared cache folder by its name alone.

``EDGETOOL_CACHE`` may be a folder that several users share. A library's name is a hash of what it was made from, which
everybody can compute: whoever could write the folder could put code there, and the native engine loaded it. The folder, those
above it and the library itself must belong to the user (or root) and be closed to the writing of others. So must the bundle
that ``edgetool run --demo`` keeps there, whose name was as easy to tell.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantization.bundle import Bundle
from runtime.daemon.demo import demo_bundle
from runtime.engines import native_build, open_engine
from tests.quantization.c_emitter.harness import require
from tests.quantization.small_models import SMALL
from tests.runtime.engines.models import make_bundle
from toolkit.cache_folder import is_trusted, trusted_folder
from toolkit.errors import UsageError

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes of POSIX")


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``path`` somebody else's: given to another user, or, where only root may do that, we become another user."""
    if os.geteuid() == 0:
        os.chown(path, 54321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shared" / "cache"
    monkeypatch.setenv("EDGETOOL_CACHE", str(folder))
    return folder


def planted(cache: Path, bundle: Bundle) -> Path:
    """A file where the engine will look for its library; not one, so that loading it would fail in another way."""
    graphs = [graph for graph in bundle.graphs if graph.scheme == "int8"]
    path = cache / f"model-{native_build._key(bundle, graphs, native_build.compiler())}.so"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not a library")
    return path


def test_a_library_of_another_user_is_not_loaded(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("cc")
    bundle = make_bundle(tmp_path / "bundle", SMALL)
    path = planted(cache, bundle)
    if os.geteuid() == 0:
        give_away(path, monkeypatch)
        with pytest.raises(UsageError, match=r"model-\w+\.so belongs to user 54321"):
            open_engine(bundle, "native")
        os.chown(path, 0, -1)
    path.chmod(0o666)
    with pytest.raises(UsageError, match=r"\.so can be written by others \(mode 666\)"):
        open_engine(bundle, "native")
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(UsageError, match=r"\.so is not a file"):
        open_engine(bundle, "native")


def test_a_folder_of_another_user_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    give_away(cache, monkeypatch)
    with pytest.raises(UsageError, match=r"belongs to user \d+, who could put code there"):
        trusted_folder()


def test_a_folder_that_another_user_can_exchange_is_refused(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.parent.chmod(0o777)
    with pytest.raises(UsageError, match=r"shared can be written by others \(mode 777\)"):
        trusted_folder()
    cache.parent.chmod(0o1777)  # as /tmp: what is ours there stays ours
    assert trusted_folder() == cache.resolve()


def test_a_folder_of_ours_is_closed_and_a_new_one_is_private(cache: Path) -> None:
    assert trusted_folder() == cache.resolve()
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.chmod(0o775)  # made by an older edgetool under an open umask
    assert trusted_folder().stat().st_mode & 0o777 == 0o755
    assert not is_trusted(cache / "model-x.so")


def test_a_demos_bundle_of_another_user_is_not_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantization.convert.convert", lambda *_, **__: None)  # what makes one takes seconds
    path = demo_bundle()
    path.mkdir(parents=True, exist_ok=True)
    give_away(path, monkeypatch)
    with pytest.raises(UsageError, match=r"belongs to user \d+, who could put code there"):
        demo_bundle()


def test_a_demos_bundle_that_others_can_write_or_that_is_a_link_is_not_run(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantization.convert.convert", lambda *_, **__: None)
    path = demo_bundle()
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    with pytest.raises(UsageError, match=r"demo-\w+ can be written by others \(mode 777\)"):
        demo_bundle()
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(UsageError, match=r"demo-\w+ is not a folder"):
        demo_bundle()
