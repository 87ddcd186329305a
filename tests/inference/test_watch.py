import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from clinic_files import named_dataset, save
from fake_enhancer import FakeEnhancer

from radenhance.cli import main
from radenhance.inference.batch import Batch, Settings
from radenhance.inference.sources import files_of
from radenhance.inference.watch import Stop, Watch

FOLDER, OUT = Path("in"), Path("out")


class Looks:
    """Finds files as a watch does, after each of some events, and then asks to stop."""

    def __init__(self, *events):
        self.stop = Stop()
        self.events = iter(events)

    def __call__(self):
        event = next(self.events, None)
        if event is None:
            self.stop.asked = True
        else:
            event()
        return files_of([FOLDER], leave_out=OUT)


def watched(*events, enhancer=None):
    FOLDER.mkdir(exist_ok=True)
    batch = Batch(OUT, Settings(enhancer or FakeEnhancer()), quiet=True)
    looks = Looks(*events)
    Watch(batch, looks, looks.stop).run(0)
    return batch


def export(name, seed=0):
    return lambda: save(named_dataset(seed=seed), FOLDER / name)


def grow(name, size):
    """Write an export as far as `size`."""
    whole = save(named_dataset(), Path("whole.dcm")).read_bytes()
    return lambda: (FOLDER / name).write_bytes(whole[:size])


def nothing():
    pass


def outcomes(batch):
    return sorted(record.outcome for record in batch.records.values())


def test_files_that_are_there_are_enhanced_at_once_and_later_ones_once_they_stay_as_they_are():
    enhancer = FakeEnhancer()
    watched(export("a.dcm"), export("b.dcm", 1), enhancer=enhancer)
    assert enhancer.seen == ["a.dcm"]
    watched(nothing, export("c.dcm", 2), nothing, nothing, enhancer=enhancer)
    assert enhancer.seen == ["a.dcm", "a.dcm", "b.dcm", "c.dcm"]


def test_a_file_that_is_still_being_written_waits_and_is_enhanced_once():
    enhancer = FakeEnhancer()
    parts = [grow("a.dcm", size) for size in (10, 3000, None)]
    batch = watched(nothing, *parts, nothing, nothing, nothing, enhancer=enhancer)
    assert enhancer.seen == ["a.dcm"]
    assert outcomes(batch) == ["enhanced"]


def test_what_half_a_file_came_to_is_forgotten_when_the_other_half_is_there():
    batch = watched(grow("a.dcm", 3000), nothing, grow("a.dcm", None), nothing, nothing)
    assert outcomes(batch) == ["enhanced"]


def test_a_damaged_file_is_tried_again_only_when_it_changed(monkeypatch):
    tries = []
    run = Batch.run
    monkeypatch.setattr(
        Batch, "run", lambda *a, **k: tries.append([f.name for f in a[1]]) or run(*a, **k)
    )
    batch = watched(grow("a.dcm", 3000), *[nothing] * 4, grow("a.dcm", 4000), nothing, nothing)
    assert tries == [["a.dcm"], ["a.dcm"]]
    assert outcomes(batch) == ["failed"]


def test_what_is_remembered_of_files_goes_with_them():
    def remove():
        for path in FOLDER.iterdir():
            path.unlink()

    def note():
        sizes.append([len(watch.states), len(watch.taken), len(watch.keys)])

    FOLDER.mkdir()
    looks, sizes = (
        Looks(export("a.dcm"), export("b.dcm", 1), nothing, note, remove, nothing, note),
        [],
    )
    watch = Watch(Batch(OUT, Settings(FakeEnhancer()), quiet=True), looks, looks.stop)
    watch.run(0)
    assert sizes == [[2, 2, 2], [0, 0, 0]]


@pytest.mark.parametrize("asking", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_asks_to_stop_gets_the_image_at_hand_and_no_other(asking):
    for i in range(3):
        export(f"{i}.dcm", i)()
    batch = Batch(OUT, Settings(FakeEnhancer(lambda: os.kill(os.getpid(), asking))), quiet=True)
    before = signal.getsignal(asking)
    with Stop() as stop:
        Watch(batch, lambda: files_of([FOLDER], leave_out=OUT), stop).run(60)
    assert outcomes(batch) == ["enhanced"]
    assert [path.name for path in OUT.glob("*.dcm")] == ["0.dcm"]
    assert signal.getsignal(asking) == before


def test_a_second_ctrl_c_interrupts_at_once():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_command_ends_with_report_and_0_on_sigterm_though_the_folder_went_away(capsys):
    export("a.dcm")()
    (FOLDER / "notes.txt").write_text("notes")

    def end():
        deadline = time.monotonic() + 20
        while not list(OUT.glob("*.dcm")) and time.monotonic() < deadline:
            time.sleep(0.02)
        FOLDER.rename("moved")
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=end)
    asking.start()
    command = ["enhance", "in", "--out=out", "--watch=0.05", "--report=r.json", "--preset=soft"]
    code = main([*command, "--deidentify"])
    asking.join()
    said = capsys.readouterr()
    assert code == 0, said.err
    assert json.loads(Path("r.json").read_text())["counts"] == {"enhanced": 1, "skipped": 1}
    assert "2 files: 1 enhanced, 1 skipped." in said.out
    assert "Text that is burned into pixels stays" in said.out


def test_command_says_where_a_folder_must_stand(capsys):
    with pytest.raises(SystemExit):
        main(["enhance", "--out=out", "--watch", "in"])
    assert "got in, expected seconds, such as 10; name files and folders before" in (
        capsys.readouterr().err
    )
