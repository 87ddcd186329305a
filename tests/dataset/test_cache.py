import errno
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import radenhance
from radenhance.dataset import cache as cache_module
from radenhance.dataset.cache import Cache, open_cache
from radenhance.dataset.decoded import decode
from radenhance.dicom.declaration import Declaration
from radenhance.errors import RadiographError, UsageError

WHOLE = (slice(None), slice(None))
OPTIONS = {
    "declaration": Declaration(relationship="LIN"),
    "for_presentation": False,
    "image_size": "native",
}


def saved(path, seed=0, shape=(40, 50)):
    values = np.random.default_rng(seed).integers(0, 2**16, shape, np.uint16)
    np.save(path, values)
    # as if it had been there for a minute
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


@pytest.fixture
def file(tmp_path):
    return saved(tmp_path / "a.npy")


@pytest.fixture
def cache(tmp_path):
    return open_cache(tmp_path, tmp_path / "cache")


def decoding_fails(monkeypatch):
    def fail(path, **options):
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(cache_module, "decode", fail)


def entries(cache, suffix=".npy"):
    return sorted(cache.folder.glob(f"*{suffix}"))


def same(one, other):
    return (
        np.array_equal(one.pixels, other.pixels)
        and one.pixels.dtype == other.pixels.dtype
        and np.array_equal(one[WHOLE], other[WHOLE])
        and (one.bits, one.relationship, one.intensity_range, one.valid, one.native_shape)
        == (other.bits, other.relationship, other.intensity_range, other.valid, other.native_shape)
    )


@pytest.mark.parametrize("image_size", ["native", 16, 64])
@pytest.mark.parametrize("for_presentation", [False, True])
def test_cold_and_warm_give_the_bits_of_the_file(
    file, cache, monkeypatch, image_size, for_presentation
):
    options = OPTIONS | {"image_size": image_size, "for_presentation": for_presentation}
    expected = decode(file, **options)
    assert same(cache.decode(file, **options), expected)
    decoding_fails(monkeypatch)
    assert same(cache.decode(file, **options), expected)
    assert same(Cache(cache.folder).decode(file, **options), expected)


def test_what_is_kept_is_mapped_and_not_loaded(file, cache):
    cache.decode(file, **OPTIONS)
    pixels = cache.decode(file, **OPTIONS).pixels
    assert isinstance(pixels, np.memmap)
    assert pixels.dtype == np.uint16


def test_an_area_is_that_part_of_the_whole(file, cache):
    cache.decode(file, **OPTIONS)
    decoded = cache.decode(file, **OPTIONS)
    area = (slice(3, 17), slice(20, 50))
    assert np.array_equal(decoded[area], decoded[WHOLE][area])


@pytest.mark.parametrize(
    "other",
    [
        {"for_presentation": True},
        {"image_size": 20},
        {"image_size": 21},
        {"declaration": Declaration(relationship="LOG")},
        {"declaration": Declaration(relationship="LIN", bone="dark")},
    ],
)
def test_other_options_are_another_entry(file, cache, other):
    cache.decode(file, **OPTIONS)
    assert same(cache.decode(file, **OPTIONS | other), decode(file, **OPTIONS | other))
    assert len(entries(cache)) == 2


def test_another_version_of_the_reading_code_decodes_anew(file, cache, monkeypatch):
    cache.decode(file, **OPTIONS)
    monkeypatch.setattr(cache_module, "reading_code", lambda: "another")
    decoding_fails(monkeypatch)
    with pytest.raises(AssertionError, match="was decoded again"):
        cache.decode(file, **OPTIONS)


WITHOUT_A_SAY = ("__init__.py", "arrays.py", "errors.py", "folders.py")
"""Modules that decoding imports, and that cannot change a pixel."""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, whose code the hash is taken of."""
    copy = shutil.copytree(Path(radenhance.__file__).parent, tmp_path / "radenhance")
    monkeypatch.setattr(radenhance, "__file__", str(copy / "__init__.py"))
    return copy


def run_by_decoding():
    package = Path(radenhance.__file__).parent
    code = (
        "import sys, radenhance.dataset.decoded;"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('radenhance.')))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=package.parent, capture_output=True, text=True, check=True
    )
    files = [Path(file).relative_to(package) for file in output.stdout.split()]
    return [file for file in files if file.name not in WITHOUT_A_SAY]


def change(path):
    path.write_text(path.read_text() + "# changed\n")


def hash_of_code():
    return cache_module.reading_code.__wrapped__()


def test_a_change_of_any_module_that_decoding_runs_makes_entries_anew(request):
    files = run_by_decoding()
    assert {"field.py", "collimator_edge.py", "normalize.py", "read.py", "voi.py"} <= {
        file.name for file in files
    }
    package = request.getfixturevalue("package")
    for file in files:
        before = hash_of_code()
        change(package / file)
        assert hash_of_code() != before, file


def test_a_change_of_any_other_module_keeps_the_entries(request):
    run = run_by_decoding()
    package = request.getfixturevalue("package")
    others = [
        file
        for file in package.rglob("*.py")
        if file.relative_to(package) not in run and file.parent.name != "dicom"
    ]
    assert len(others) > 100
    before = hash_of_code()
    for file in others:
        change(file)
    assert hash_of_code() == before


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_file_and_the_options_the_cache_gives_the_same_as_decoding(tmp_path, seed):
    random = np.random.default_rng(seed)
    bits = int(random.choice([8, 16]))
    shape = tuple(int(side) for side in random.integers(33, 90, 2))
    values = random.integers(0, 2**bits, shape).astype(f"uint{bits}")
    path = tmp_path / f"a{random.choice(['.png', '.tif', '.npy'])}"
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        cv2.imwrite(str(path), values, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    cache = open_cache(tmp_path, tmp_path / "cache")
    for bone in ("bright", "dark"):
        for relationship in ("LIN", "LOG"):
            options = {
                "declaration": Declaration(bone=bone, relationship=relationship),
                "for_presentation": bool(random.integers(2)),
                "image_size": random.choice(["native", 20, 60]),
            }
            if options["image_size"] != "native":
                options["image_size"] = int(options["image_size"])
            expected = decode(path, **options)
            for _ in ("cold", "warm"):
                assert same(cache.decode(path, **options), expected)


def test_other_content_of_equal_size_and_date_is_noticed(file, cache):
    cache.decode(file, **OPTIONS)
    before = file.stat()
    saved(file, seed=1)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for reader in (cache, Cache(cache.folder)):
        assert same(reader.decode(file, **OPTIONS), decode(file, **OPTIONS))


def test_a_file_changed_within_a_tick_of_the_clock_is_noticed(tmp_path, cache):
    path = tmp_path / "a.npy"
    for seed in range(5):
        np.save(path, np.full((8, 8), seed, np.uint16))
        assert cache.decode(path, **OPTIONS).pixels.max() == seed


def test_the_hash_of_a_settled_file_is_remembered(file, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "SETTLED_S", -1)
    cache.decode(file, **OPTIONS)
    monkeypatch.setattr(cache_module, "_hash_of_file", lambda path: pytest.fail("hashed again"))
    cache.decode(file, **OPTIONS)
    Cache(cache.folder).decode(file, **OPTIONS)


def test_a_file_from_the_future_is_hashed_once(file, cache, monkeypatch):
    os.utime(file, (time.time() + 1e6, time.time() + 1e6))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 60)  # the clock was set back
    cache.decode(file, **OPTIONS)
    monkeypatch.setattr(cache_module, "_hash_of_file", lambda path: pytest.fail("hashed again"))
    Cache(cache.folder).decode(file, **OPTIONS)


def test_the_same_content_elsewhere_is_the_same_entry(file, tmp_path, cache, monkeypatch):
    cache.decode(file, **OPTIONS)
    copy = saved(tmp_path / "copy.npy")
    decoding_fails(monkeypatch)
    cache.decode(copy, **OPTIONS)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_entry_is_made_anew(file, cache, suffix):
    expected = decode(file, **OPTIONS)
    cache.decode(file, **OPTIONS)
    (path,) = entries(cache, suffix)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    for i in range(60):
        bad = bytearray(good)
        if i < 30:
            bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        else:
            del bad[random.integers(len(bad)) :]
        path.write_bytes(bad)
        assert same(Cache(cache.folder).decode(file, **OPTIONS), expected)
        if suffix == ".npy":
            assert path.read_bytes() == good


def test_a_process_killed_before_the_entry_was_whole_leaves_none(file, cache, monkeypatch):
    cache.decode(file, **OPTIONS)
    (facts,) = entries(cache, ".json")
    facts.unlink()
    (cache.folder / ".0123.part").write_bytes(b"half of an entry")
    assert same(Cache(cache.folder).decode(file, **OPTIONS), decode(file, **OPTIONS))
    decoding_fails(monkeypatch)
    Cache(cache.folder).decode(file, **OPTIONS)


def _decode_all(folder, files, barrier, results):
    cache = Cache(folder)
    barrier.wait()
    results.put([int(cache.decode(file, **OPTIONS)[WHOLE].view(np.uint32).sum()) for file in files])


def test_two_processes_fill_one_folder_at_once(tmp_path, cache):
    files = [saved(tmp_path / f"{i}.npy", seed=i, shape=(300, 300)) for i in range(12)]
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    arguments = (cache.folder, files, barrier, results)
    processes = [context.Process(target=_decode_all, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    expected = [int(decode(file, **OPTIONS)[WHOLE].view(np.uint32).sum()) for file in files]
    assert [results.get(timeout=60) for _ in processes] == [expected, expected]
    for process in processes:
        process.join()
    assert len(entries(cache)) == len(entries(cache, ".json")) == len(files)
    assert not list(cache.folder.glob("*.part"))


def test_a_disk_that_gets_full_is_said_once_and_files_are_read(file, cache, monkeypatch, caplog):
    monkeypatch.setattr(cache_module, "KEPT_FREE", 1 << 62)
    with caplog.at_level(logging.WARNING):
        for image_size in ("native", 20, 20):
            options = OPTIONS | {"image_size": image_size}
            assert same(cache.decode(file, **options), decode(file, **options))
    assert len(caplog.records) == 1
    assert "MiB of the disk are free" in caplog.text
    assert "set RadiographDataModule.cache to a folder elsewhere" in caplog.text
    assert not list(cache.folder.iterdir())


def test_a_write_that_fails_half_way_leaves_no_entry(file, cache, monkeypatch, caplog):
    def full(source, destination):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert same(cache.decode(file, **OPTIONS), decode(file, **OPTIONS))
    assert "disk or quota is full" in caplog.text
    assert not list(cache.folder.iterdir())


def test_a_folder_that_vanished_is_said_and_files_are_read(file, cache, caplog):
    cache.folder.rmdir()
    assert same(cache.decode(file, **OPTIONS), decode(file, **OPTIONS))
    assert len(caplog.records) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path, cache):
    with pytest.raises(RadiographError, match=r"missing\.npy: No such file"):
        cache.decode(tmp_path / "missing.npy", **OPTIONS)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(RadiographError, match=r"text\.png: the file is a text file"):
        cache.decode(tmp_path / "text.png", **OPTIONS)


def test_the_cache_is_in_the_dataset_where_that_can_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of the user"))
    writable, read_only = tmp_path / "writable", tmp_path / "read only"
    for root in (writable, read_only):
        root.mkdir()
    assert open_cache(writable, True).folder == writable / ".cache"
    assert not (tmp_path / "of the user").exists()
    (read_only / ".cache").write_text("a file in the way, which stops root too")
    assert open_cache(read_only, True).folder == tmp_path / "of the user/radenhance"
    assert open_cache(writable, False) is None
    assert open_cache(writable, tmp_path / "a/b").folder == tmp_path / "a/b"


def test_a_named_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"DataModule\.cache is .*file/cache', expected a folder"):
        open_cache(tmp_path, tmp_path / "file/cache")


def test_without_any_place_nothing_is_cached_and_that_is_said(tmp_path, monkeypatch, caplog):
    (tmp_path / ".cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    assert open_cache(tmp_path, True) is None
    assert "nothing is cached" in caplog.text


def test_names_of_entries_are_hashes_alone(file, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "SETTLED_S", -1)
    cache.decode(file, **OPTIONS)
    found = [path.name for path in cache.folder.iterdir()]
    assert sorted(Path(name).suffix for name in found) == [".json", ".name", ".npy"]
    assert all(re.fullmatch(r"[0-9a-f]{40}\.\w+", name) for name in found)
