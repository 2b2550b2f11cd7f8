"""Requests to stop, closed terminals, and output without a reader."""

import errno
import io
import os
import signal
import sys

import pytest

from runtime.errors import UserError, exit_code
from runtime.stopping import StopRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def usual_hangup():
    """As in a terminal, even if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Broken(io.StringIO):
    """A stream that nobody reads."""

    def __init__(self, number=errno.EPIPE):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_request_and_so_is_its_echo(number, capfd):
    before = [signal.getsignal(each) for each in SIGNALS]
    with StopRequest() as stop:
        assert stop.requested is None
        for each in (number, number, *SIGNALS):  # a terminal or a wrapper delivers several
            signal.raise_signal(each)
        assert (stop.requested, stop.code) == (number.name, 128 + number)
    assert capfd.readouterr().err == "\nstopping, and saving first; press Ctrl-C again to stop immediately\n"
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_later_signal_ends_the_process_but_a_hangup_does_not(monkeypatch):
    with StopRequest() as stop:
        stop.request("SIGINT", 130)
        stop._since -= 2
        signal.raise_signal(signal.SIGHUP)
        raised = []
        monkeypatch.setattr(signal, "raise_signal", raised.append)
        os.kill(os.getpid(), signal.SIGINT)
        assert raised == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    monkeypatch.undo()


def test_a_hangup_that_is_ignored_stays_ignored(monkeypatch):
    """As under nohup; then the end of the output stops nothing either."""
    monkeypatch.setattr(sys, "stdout", Broken())

    def command():
        with StopRequest() as stop:
            print("lost")
            signal.raise_signal(signal.SIGHUP)
            return 3 if stop.requested else 0

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert exit_code(command) == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EPIPE, 128 + signal.SIGPIPE, ""),
        (errno.EIO, 128 + signal.SIGHUP, ""),
        (errno.ENOSPC, 2, "error: standard output: No space left on device\n"),
    ],
)
@pytest.mark.parametrize("stoppable", [False, True])
def test_output_that_cannot_be_written_ends_a_command(monkeypatch, capsys, number, code, said, stoppable):
    cleaned, requests = [], []

    def command():
        try:
            if stoppable:
                with StopRequest() as stop:
                    print("lost", flush=True)
                    print("lost", flush=True)
                    requests.append(stop.code)
                    return stop.code
            print("lost", flush=True)
        finally:
            cleaned.append(True)

    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert exit_code(command) == code
    assert cleaned == [True]
    assert requests == ([code] if stoppable else [])
    assert capsys.readouterr().err == said


def test_a_hangup_ends_a_command(capsys):
    assert exit_code(lambda: signal.raise_signal(signal.SIGHUP)) == 128 + signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    assert capsys.readouterr().err == ""


def test_an_error_that_nobody_reads(monkeypatch):
    def command():
        raise UserError("wrong")

    monkeypatch.setattr(sys, "stderr", Broken())
    assert exit_code(command) == 2
    assert StopRequest._entered == []
