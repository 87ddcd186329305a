import json
import multiprocessing
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from clinic_files import OWNER, SECRETS, named_dataset, save
from fake_enhancer import FakeEnhancer
from processes import free_port
from pydicom.data import get_testdata_file
from pynetdicom import AE, evt

import radenhance.command_line.serve as command
import radenhance.inference.serve as node
from radenhance.dicom.provenance import written_by_radenhance
from radenhance.errors import UsageError
from radenhance.inference.batch import Batch, Settings
from radenhance.inference.nodes import Caller, Node, Tls
from radenhance.inference.outputs import Output
from radenhance.inference.serve import Forwarder, Receiver, Reception, serve
from radenhance.inference.spool import Spool
from radenhance.inference.watch import Stop

FORK = multiprocessing.get_context("fork")
SPOOL = Path("spool")
HOST = "127.0.0.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1.1"
DX_DERIVED = "1.2.840.10008.5.1.4.1.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STORED, NO_RESOURCES = 0x0000, 0xA700


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch):
    monkeypatch.setattr(node, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(node, "PAUSE_SECONDS", 0.1)


def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


@contextmanager
def serving(*, forward=None, enhancer=None, forward_tls=None, max_bytes=2**30, **reception):
    """A node in this process; yields its port."""
    spool = Spool(SPOOL, max_bytes=max_bytes)
    batch = Batch(
        spool.enhanced,
        Settings(enhancer or FakeEnhancer(), Output("dicom")),
        resume=True,
        quiet=True,
    )
    callers = reception.pop("callers", [Caller("CR1")])
    receiver = Receiver(Reception(HOST, 0, "RADENHANCE", callers, **reception), spool)
    stop = Stop()
    working = threading.Thread(target=serve, args=(batch, spool, stop))
    try:
        with receiver.running():
            working.start()
            if forward is None:
                yield receiver.port
            else:
                forwarder = Forwarder(forward, "RADENHANCE", spool, tls=forward_tls)
                with forwarder.running():
                    yield receiver.port
    finally:
        stop.asked = True
        working.join()
        spool.close()


class NextNode:
    """A node that images are sent to, which notes them."""

    def __init__(self, port, answer=lambda number: STORED, tls=None):
        self.images, self.answer, self.answers = [], answer, 0
        entity = AE("PACS")
        entity.add_supported_context(DX_DERIVED)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self.server = entity.start_server(
            (HOST, port), block=False, evt_handlers=handlers, ssl_context=tls
        )

    def _store(self, event):
        status = self.answer(self.answers)
        self.answers += 1
        if status == STORED:
            self.images.append(event.dataset)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def associated(port, title="CR1", called="RADENHANCE", tls=None):
    entity = AE(title)
    for uid in ("1.2.840.10008.1.1", DX, CT):
        entity.add_requested_context(uid)
    options = {"tls_args": (tls, "localhost")} if tls else {}
    return entity.associate(HOST, port, ae_title=called, bind_address=(HOST, 0), **options)


def sent(port, *datasets, **options):
    """The statuses with which datasets were stored; None without an association."""
    association = associated(port, **options)
    if not association.is_established:
        return None
    statuses = [association.send_c_store(dataset).get("Status") for dataset in datasets]
    if association.is_established:
        association.release()
    return statuses


def listed():
    lines = (SPOOL / "enhanced/enhance.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["outcome"] for line in lines[1:])


def files(*folders):
    return sorted(path.name for name in folders for path in (SPOOL / name).glob("*.dcm"))


def all_done():
    return not files("received", "enhanced")


def test_a_radiograph_comes_in_and_its_derived_image_goes_on(capfd):
    port, source = free_port(), named_dataset()
    with NextNode(port) as pacs, serving(forward=Node("PACS", HOST, port)) as own:
        association = associated(own)
        assert association.send_c_echo().Status == STORED
        association.release()
        assert sent(own, source) == [STORED]
        eventually(lambda: pacs.images and all_done())
    (image,) = pacs.images
    assert written_by_radenhance(image)
    assert image.PatientName == source.PatientName
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert listed() == ["enhanced"]
    said = "".join(capfd.readouterr()) + (SPOOL / "enhanced/enhance.jsonl").read_text()
    assert "sent to PACS: 1" in said
    assert not any(secret in said for secret in SECRETS)


@pytest.mark.parametrize(
    ("callers", "options"),
    [
        ([Caller("CR1")], {"title": "CR2"}),
        ([Caller("CR1", frozenset({"127.0.0.9"})), Caller("CR3")], {}),
        ([Caller("CR1")], {"called": "OTHER"}),
    ],
)
def test_who_is_not_on_the_list_or_calls_somebody_else_is_refused(callers, options):
    with serving(callers=callers) as port:
        association = associated(port, **options)
        assert association.is_rejected
        assert sent(port, named_dataset(), **options) is None
    assert not files("received", "enhanced")


def test_nobody_gets_as_far_as_a_title_from_an_address_that_is_not_on_the_list(capfd):
    with serving(callers=[Caller("CR1", frozenset({"127.0.0.9"}))]) as port:
        association = associated(port)
        assert not association.is_established
        assert not association.is_rejected
    assert "refused a connection from 127.0.0.1, where nobody" in capfd.readouterr().err


def test_a_caller_with_its_address_is_accepted():
    with serving(callers=[Caller("CR2"), Caller.parse("CR1@localhost")]) as port:
        assert sent(port, named_dataset()) == [STORED]


def test_a_ct_among_radiographs_is_stored_skipped_and_listed():
    tomogram = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    with serving() as port:
        assert sent(port, named_dataset(), tomogram, named_dataset(seed=1)) == [STORED] * 3
        eventually(lambda: not files("received"))
    assert listed() == ["enhanced", "enhanced", "skipped"]
    assert len(files("enhanced")) == 2


def test_a_damaged_object_is_stored_listed_and_put_aside():
    dataset = named_dataset()
    dataset.PixelData = dataset.PixelData[:100]
    with serving() as port:
        assert sent(port, dataset, named_dataset(seed=1)) == [STORED] * 2
        eventually(lambda: not files("received"))
    assert listed() == ["enhanced", "failed"]
    assert len(files("failed")) == 1


def test_two_senders_at_once_are_both_served_and_a_third_is_not():
    with serving(max_associations=2, callers=[Caller("CR1"), Caller("CR2")]) as port:
        senders = [associated(port), associated(port, "CR2")]
        assert not associated(port).is_established
        for seed, sender in enumerate([*senders, *senders]):
            assert sender.send_c_store(named_dataset(seed=seed)).Status == STORED
        for sender in senders:
            sender.release()
        eventually(lambda: len(files("enhanced")) == 4)


def test_an_object_that_comes_twice_is_made_once_more_under_the_same_uids():
    port, dataset = free_port(), named_dataset()
    with NextNode(port) as pacs, serving(forward=Node("PACS", HOST, port)) as own:
        for number in (1, 2):
            assert sent(own, dataset) == [STORED]
            eventually(lambda number=number: len(pacs.images) == number and all_done())
    one, other = pacs.images
    assert one.SOPInstanceUID == other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID


def test_what_the_next_node_misses_while_it_is_down_it_gets_when_it_is_up():
    port = free_port()
    with serving(forward=Node("PACS", HOST, port)) as own:
        assert sent(own, named_dataset(), named_dataset(seed=1)) == [STORED] * 2
        eventually(lambda: len(files("enhanced")) == 2 and not files("received"))
        with NextNode(port) as pacs:
            eventually(lambda: len(pacs.images) == 2 and all_done())


def test_what_the_next_node_has_no_room_for_waits_and_what_it_refuses_is_put_aside():
    port = free_port()
    answers = [0xA700, 0xA900, 0x0110, 0xB000, STORED]
    with (
        NextNode(port, lambda number: answers[number]) as pacs,
        serving(forward=Node("PACS", HOST, port)) as own,
    ):
        assert sent(own, *(named_dataset(seed=i) for i in range(3))) == [STORED] * 3
        eventually(lambda: pacs.answers == 5 and all_done())
    assert len(files("refused")) == 1


def test_garbage_ends_its_own_connection_and_nothing_else(capfd):
    random = np.random.default_rng(0)
    associate = (
        b"\x01\0" + (200).to_bytes(4) + b"\0\1\0\0" + b"RADENHANCE".ljust(16) + b"CR1".ljust(16)
    )
    garbage = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x04\0" + (2**32 - 1).to_bytes(4) + bytes(100),  # a unit of 4 GiB
        associate.ljust(206, b"\xff"),
        associate,  # cut off
        *(random.bytes(300) for _ in range(5)),
        *(bytes([kind, 0, 0, 0, 0, 100]) + random.bytes(100) for kind in range(1, 8)),
    ]
    with serving(max_associations=1) as port:
        for content in garbage:
            with socket.create_connection((HOST, port)) as connection:
                connection.sendall(content)
        assert sent(port, named_dataset()) == [STORED]
    assert "Traceback" not in capfd.readouterr().err


class Defective(FakeEnhancer):
    """Fails at one object, in a way that nobody thought of."""

    def __init__(self, dataset):
        super().__init__()
        self.uid = dataset.SOPInstanceUID

    def __call__(self, radiograph):
        if radiograph.header.sop_instance_uid == self.uid:
            raise KeyError(OWNER)
        return super().__call__(radiograph)


def test_a_defect_puts_one_object_aside_and_no_other(capfd):
    datasets = [named_dataset(seed=i) for i in range(3)]
    with serving(enhancer=Defective(datasets[1])) as port:
        assert sent(port, *datasets) == [STORED] * 3
        eventually(lambda: not files("received"))
    assert (len(files("failed")), len(files("enhanced"))) == (1, 2)
    said = capfd.readouterr().err
    assert "a defect of radenhance: KeyError in line" in said
    assert OWNER not in said


def test_what_lies_among_derived_images_and_is_none_is_put_aside():
    port = free_port()
    with NextNode(port) as pacs, serving(forward=Node("PACS", HOST, port)) as own:
        (SPOOL / "enhanced/a.dcm").write_text("a")
        assert sent(own, named_dataset()) == [STORED]
        eventually(lambda: pacs.images and all_done())
    assert files("refused") == ["a.dcm"]


def test_two_processes_do_not_share_a_spool():
    with serving(), pytest.raises(UsageError, match="another process serves from spool"):
        Spool(SPOOL, max_bytes=1)


def test_a_port_that_is_taken_is_said():
    spool = Spool(SPOOL, max_bytes=1)
    with socket.create_server((HOST, 0)) as taken:
        reception = Reception(HOST, taken.getsockname()[1], "RADENHANCE", [])
        with pytest.raises(UsageError, match="cannot be listened at: Address already in use"):
            Receiver(reception, spool)
    spool.close()


def test_an_object_without_room_is_refused_and_its_sender_told():
    with serving(max_bytes=2**16) as port:
        assert sent(port, named_dataset(), named_dataset(spacing_mm=1.0)) == [STORED, NO_RESOURCES]


def test_an_object_that_is_too_large_ends_its_association_and_no_other(capfd):
    with serving(max_object_bytes=2**16) as port:
        other = associated(port)
        assert sent(port, named_dataset(spacing_mm=0.5)) == [None]
        for _ in range(4):
            assert other.send_c_store(named_dataset()).Status == STORED
        other.release()
    assert "an object of more than 0 MiB was cut off" in capfd.readouterr().err


def run_command(*flags):
    """The command as in a process of its own, which takes its time for each image."""

    def slowly():
        Path("begun").touch()
        time.sleep(0.1)

    command.enhancer_of = lambda *_: FakeEnhancer(slowly)
    command.main(["serve", "--spool=spool", "--allow=CR1", *flags])


def test_a_kill_loses_nothing_and_the_next_start_goes_on():
    own, port = free_port(), free_port()
    flags = [f"--port={own}", f"--forward=PACS@{HOST}:{port}"]
    datasets = [named_dataset(seed=i) for i in range(4)]
    killed, again = (FORK.Process(target=run_command, args=flags, daemon=True) for _ in range(2))
    killed.start()
    eventually(lambda: associated(own).is_established)
    assert sent(own, *datasets) == [STORED] * 4
    eventually(Path("begun").exists)
    killed.kill()
    killed.join()
    assert files("received")
    again.start()
    with NextNode(port) as pacs:
        eventually(lambda: len(pacs.images) >= 4 and all_done())
        again.terminate()
        again.join(20)
        assert again.exitcode == 0
    found = {image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in pacs.images}
    assert found == {dataset.SOPInstanceUID for dataset in datasets}


@pytest.fixture
def certificates():
    """Certificates of ours and of a caller, both by an authority of their own, and a stranger's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for ca in ("ca", "strange"):
        openssl(*new, "-x509", "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    Path("names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name, ca in (("own", "ca"), ("caller", "ca"), ("stranger", "strange")):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        by = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.pem")
    return lambda name, ca="ca": Tls(Path(f"{name}.pem"), Path(f"{name}.key"), Path(f"{ca}.pem"))


def test_with_tls_only_who_has_a_certificate_of_our_authority_comes_in(certificates):
    port = free_port()
    with (
        NextNode(port, tls=certificates("caller").for_server()) as pacs,
        serving(
            tls=certificates("own").for_server(),
            forward=Node("PACS", HOST, port),
            forward_tls=certificates("own").for_client(),
        ) as own,
    ):
        assert sent(own, named_dataset(), tls=certificates("caller").for_client()) == [STORED]
        assert sent(own, named_dataset(), tls=certificates("stranger", "ca").for_client()) is None
        assert sent(own, named_dataset()) is None  # without TLS
        eventually(lambda: pacs.images and all_done())


def test_a_caller_that_says_nothing_keeps_nobody_waiting(certificates):
    tls = certificates("own").for_server()
    with serving(tls=tls) as port, socket.create_connection((HOST, port)):
        assert sent(port, named_dataset(), tls=certificates("caller").for_client()) == [STORED]


def test_dcmtk_sends_to_us_and_is_sent_to():
    for program in ("echoscu", "storescu", "storescp"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    port = free_port()
    save(named_dataset(), Path("source.dcm"))
    Path("pacs").mkdir()
    with subprocess.Popen(["storescp", "--output-directory", "pacs", str(port)]) as pacs:
        try:
            with serving(forward=Node("PACS", HOST, port)) as own:
                to = ["--aetitle", "CR1", "--call", "RADENHANCE", HOST, str(own)]
                subprocess.run(["echoscu", *to], check=True)
                subprocess.run(["storescu", *to, "source.dcm"], check=True)
                eventually(lambda: list(Path("pacs").iterdir()) and all_done())
        finally:
            pacs.terminate()
    (image,) = Path("pacs").iterdir()
    assert written_by_radenhance(pydicom.dcmread(image))
