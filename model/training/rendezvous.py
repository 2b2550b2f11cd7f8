"""The meeting of all workers before TensorFlow connects them: are they all there, and will they do the same?

TensorFlow waits an hour for a worker that does not come, and says nothing; and it does not notice that one of them has
other parameters. So each worker first tells the chief about itself, over a plain connection to the chief's address, and
gets the addresses of all in return, or the reason why the training cannot start. Needs no TensorFlow.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from runtime.errors import UserError
from runtime.workers import Workers

PATIENCE = 600.0  # seconds to wait for all
_MOST_BYTES = 2**24  # of a message
_RETRY = 0.2  # seconds between attempts to reach the chief
_SAY_SO = 10.0  # seconds until a note says who is missing
_ANSWER = 10.0  # seconds for one message
_GOODBYE = 30.0  # seconds in which others may learn that there is nothing to do

Message = dict[str, Any]


class LostWorkerError(UserError):
    """Another worker has ended, or has not come: a restart of all may help."""

    code = 4


def meet(
    workers: Workers,
    about: Message,
    say: Callable[[str], None],
    *,
    ended: list[str] | None = None,
    patience: float = PATIENCE,
) -> list[Message]:
    """Waits until all workers are there and have told about themselves.

    Args:
        workers: the workers.
        about: what must be equal on all: objects of JSON, by subject.
        say: prints a note.
        ended: of the chief: why there is nothing to do, if so.
        patience: seconds to wait.

    Returns:
        For each worker: "worker", "address", "host" and "pid"; an empty list if there is nothing to do.

    Raises:
        UserError: when a worker differs, or a port is in use; the same on all that are there.
        LostWorkerError: when a worker does not come.
    """
    with _listening(workers.addresses[workers.number]):  # TensorFlow will need it, and does not name it
        pass
    own = {"worker": workers.number, "of": workers.of, "host": socket.gethostname(), "pid": os.getpid()}
    own |= {"addresses": list(workers.addresses), "about": about}
    return (
        _receive_all(workers, own, say, ended or [], patience)
        if workers.chief
        else _report(workers, own, say, patience)
    )


def _receive_all(
    workers: Workers, own: Message, say: Callable[[str], None], ended: list[str], patience: float
) -> list[Message]:
    """The chief's side."""
    there: dict[int, tuple[Message, socket.socket | None]] = {0: (_member(own), None)}
    with contextlib.ExitStack() as open_sockets, _listening(workers.addresses[0]) as listener:
        lost = problem = None
        begun, said = time.monotonic(), False
        while not problem:
            there = {number: pair for number, pair in there.items() if not pair[1] or _is_open(pair[1])}
            if len(there) == workers.of:
                break
            missing = ", ".join(workers.name(number) for number in range(workers.of) if number not in there)
            waited = time.monotonic() - begun
            if ended and waited > _GOODBYE:
                break
            if waited > patience:
                lost = problem = f"{missing} did not come within {patience:g} s; see what it printed, or start it"
            elif waited > _SAY_SO and not said:
                said = True
                say(f"waiting for {missing}")
            with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError):  # not a worker
                connection = open_sockets.enter_context(listener.accept()[0])
                connection.settimeout(_ANSWER)
                other = _receive(connection)
                member, problem = _member(other), problem or _refusal(workers, own, other, there)
                if problem:
                    _send(connection, {"problem": problem, "lost": False})
                else:
                    there[member["worker"]] = member, connection
        members = [member for _, (member, _) in sorted(there.items())]
        connections = [connection for _, connection in there.values() if connection]
        for connection in connections:
            with contextlib.suppress(OSError):  # it has ended meanwhile; TensorFlow will notice
                _send(connection, {"problem": problem, "lost": lost is not None, "ended": ended, "members": members})
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.recv(1)  # wait until it has closed: the port must be free for TensorFlow
    if problem:
        raise LostWorkerError(problem) if lost else UserError(problem)
    return [] if ended else members


def _member(message: Message) -> Message:
    number = int(message["worker"])
    return {"worker": number, "address": str(message["addresses"][number])} | {
        key: message[key] for key in ("host", "pid")
    }


def _refusal(workers: Workers, own: Message, other: Message, there: dict[int, Any]) -> str | None:
    """Why the training cannot start with this worker; None if it can."""
    number, name = other["worker"], f"worker {other['worker']} ({other['addresses'][other['worker']]})"
    if other["of"] != workers.of:
        return f"{name} was started as one of {other['of']} workers, the chief as one of {workers.of}"
    if not 0 < number < workers.of or (number in there and _is_open(there[number][1])):
        return f"{name} was started twice; give each process its own number"
    if any(a != b for a, b in zip(own["addresses"], other["addresses"], strict=True) if a and b):
        return f"{name} has other addresses than the chief: {','.join(other['addresses'])}"
    for subject, ours in own["about"].items():
        theirs = other["about"].get(subject, {})
        different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if different:
            key, more = different[0], f" and {len(different) - 1} more" if len(different) > 1 else ""
            a, b = (json.dumps(each.get(key, "missing")) for each in (ours, theirs))
            return (
                f"{subject} of {name} differ from the chief's: {key}{more} ({b}, and {a} on the chief); make them equal"
            )
    return None


def _report(workers: Workers, own: Message, say: Callable[[str], None], patience: float) -> list[Message]:
    """The side of the others."""
    host, _, port = workers.addresses[0].rpartition(":")
    begun, said = time.monotonic(), False
    while True:
        waited = time.monotonic() - begun
        if waited > patience:
            raise LostWorkerError(
                f"{workers.name(0)}, the chief, did not answer within {patience:g} s; see what it printed, or start it"
            )
        if waited > _SAY_SO and not said:
            said = True
            say(f"waiting for {workers.name(0)}, the chief")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as connection:
                _send(connection, own)
                connection.settimeout(patience)
                answer = _receive(connection)
            break
        except (OSError, ValueError):  # it is not there yet, or has ended
            time.sleep(_RETRY)
    if answer["problem"]:
        raise LostWorkerError(answer["problem"]) if answer["lost"] else UserError(answer["problem"])
    for reason in answer["ended"]:
        say(reason)
    return [] if answer["ended"] else answer["members"]


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    port = int(address.rpartition(":")[2])
    kind = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        listener = socket.create_server(("", port), family=kind, dualstack_ipv6=kind == socket.AF_INET6)
    except OSError as error:
        raise UserError(f"port {port} cannot be used: {error.strerror}; end what uses it, or choose another") from error
    with listener:
        listener.settimeout(_RETRY)
        yield listener


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side still waits: it says nothing more, so there is something to read only at its end."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        connection.settimeout(_ANSWER)
    return False


def _send(connection: socket.socket, message: Message) -> None:
    text = json.dumps(message).encode()
    connection.sendall(len(text).to_bytes(4, "big") + text)


def _receive(connection: socket.socket) -> Message:
    size = int.from_bytes(_receive_bytes(connection, 4), "big")
    if size > _MOST_BYTES:
        raise ValueError("no message of a worker")
    message = json.loads(_receive_bytes(connection, size))
    if not isinstance(message, dict):
        raise ValueError("no message of a worker")
    return message


def _receive_bytes(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("closed by the other side")
        received += part
    return received
