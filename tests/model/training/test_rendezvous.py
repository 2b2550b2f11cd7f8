"""The meeting of the workers: threads instead of processes, on real sockets."""

import json
import socket
import threading

import pytest
from helpers.several_workers import free_addresses

from model.training.rendezvous import LostWorkerError, meet
from runtime.errors import UserError
from runtime.workers import Workers

ABOUT = {"parameters": {"margin": 1.0, "seed": 0}, "files of the code": {"train.py": "ab"}}


def meet_all(abouts, *, workers=None, ended=None, patience=20.0):
    """What each of several workers gets: its members, or the error."""
    if workers is None:
        addresses = tuple(free_addresses(len(abouts)).split(","))
        workers = [Workers(number, len(abouts), addresses, "--worker") for number in range(len(abouts))]
    found = [None] * len(workers)

    def work(place):
        try:
            reasons = ended if workers[place].chief else None
            found[place] = meet(workers[place], abouts[place], lambda text: None, ended=reasons, patience=patience)
        except UserError as error:
            found[place] = str(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(workers))]
    for thread in threads[::-1]:  # the chief last
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_all_learn_who_is_there():
    addresses = tuple(free_addresses(3).split(","))
    # As under SLURM: each knows the chief and itself.
    workers = [
        Workers(n, 3, tuple(a if i in (0, n) else "" for i, a in enumerate(addresses)), "SLURM") for n in range(3)
    ]
    one, *others = meet_all([ABOUT] * 3, workers=workers)
    assert [(each["worker"], each["address"]) for each in one] == list(enumerate(addresses))
    assert {each["host"] for each in one} == {socket.gethostname()}
    assert others == [one, one]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"parameters": {"margin": 0.5, "seed": 0}, "files of the code": {"train.py": "ab"}},
            "parameters of worker 1 (127.0.0.1:{port}) differ from the chief's: margin (0.5, and 1.0 on the chief); "
            "make them equal",
        ),
        (
            {"parameters": {"margin": 1.0, "seed": 0}, "files of the code": {"train.py": "ac", "new.py": "d"}},
            "files of the code of worker 1 (127.0.0.1:{port}) differ from the chief's: new.py and 1 more ",
        ),
    ],
)
def test_a_difference_is_refused_everywhere(other, message):
    addresses = tuple(free_addresses(2).split(","))
    workers = [Workers(number, 2, addresses, "--worker") for number in range(2)]
    one, two = meet_all([ABOUT, other], workers=workers)
    assert one == two
    assert one.startswith(message.format(port=addresses[1].rpartition(":")[2]))


def test_other_addresses_and_other_numbers_are_refused():
    addresses = free_addresses(3).split(",")
    chief = Workers(0, 2, tuple(addresses[:2]), "--worker")
    for other, message in [
        (Workers(1, 2, (addresses[0], addresses[2]), "--worker"), "has other addresses than the chief"),
        (Workers(2, 3, tuple(addresses), "--worker"), "as one of 3 workers, the chief as one of 2"),
    ]:
        found = meet_all([ABOUT] * 2, workers=[chief, other])
        assert all(message in each for each in found), found


def test_a_chief_with_nothing_to_do_says_so():
    assert meet_all([{}, ABOUT, ABOUT], ended=["nothing to do: step 10 of 10"]) == [[], [], []]


def test_a_chief_with_nothing_to_do_does_not_wait_long(monkeypatch):
    """Others may have ended long ago."""
    monkeypatch.setattr("model.training.rendezvous._GOODBYE", 0.3)
    chief = Workers(0, 2, tuple(free_addresses(2).split(",")), "--worker")
    assert meet(chief, {}, print, ended=["nothing to do"]) == []


def test_a_missing_worker_is_named():
    addresses = tuple(free_addresses(2).split(","))
    chief, other = (Workers(number, 2, addresses, "--worker") for number in range(2))
    for alone, missing in ((chief, 1), (other, 0)):
        with pytest.raises(LostWorkerError) as error:
            meet(alone, ABOUT, print, patience=0.5)
        found = str(error.value)
        assert found.startswith(f"worker {missing} ({addresses[missing]})")
        assert "within 0.5 s; see what it printed, or start it" in found


def test_strangers_and_a_worker_that_ends_while_it_waits_do_no_harm():
    addresses = tuple(free_addresses(3).split(","))
    workers = [Workers(number, 3, addresses, "--worker") for number in range(3)]
    found = {}

    def work(number):
        found[number] = meet(workers[number], ABOUT, lambda text: None, patience=30)

    host, _, port = addresses[0].rpartition(":")
    chief = threading.Thread(target=work, args=(0,))
    chief.start()
    for text in (b"", b"GET / HTTP/1.1\r\n\r\n", (2).to_bytes(4, "big") + b"[]", (20).to_bytes(4, "big") + b"{"):
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port)), timeout=5) as stranger:
                    stranger.sendall(text)
                break
            except ConnectionRefusedError:  # the chief is not there yet
                threading.Event().wait(0.05)
    worker = {"worker": 1, "of": 3, "host": "a", "pid": 1, "about": ABOUT, "addresses": addresses}
    message = json.dumps(worker).encode()
    with socket.create_connection((host, int(port)), timeout=5) as ending:
        ending.sendall(len(message).to_bytes(4, "big") + message)
    others = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in others:
        thread.start()
    for thread in (chief, *others):
        thread.join(60)
    assert found[0] == found[1] == found[2]
    assert [each["address"] for each in found[0]] == list(addresses)


@pytest.mark.parametrize("number", [0, 1])
def test_a_port_in_use_is_an_error_at_once(number):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = ["127.0.0.1:1", "127.0.0.1:1"]
        addresses[number] = f"127.0.0.1:{port}"
        with pytest.raises(UserError, match=f"port {port} cannot be used: .*; end what uses it, or choose another"):
            meet(Workers(number, 2, tuple(addresses), "--worker"), ABOUT, print)
