"""Messages over a real socket pair: what arrives is what was sent, and a lost end is never mistaken for a message."""

import socket
import threading

import numpy as np
import pytest

from workers.engines.paddleocr_vl.backends.base import PackedCrop
from workers.render.messages import Release, Value
from workers.render.wire import LARGE, Wire, opened, parcel


@pytest.fixture
def wires():
    ends = socket.socketpair()
    made = [Wire(end) for end in ends]
    yield made
    for wire in made:
        wire.close()


def crossed(wires, value):
    sending = threading.Thread(target=wires[0].send, args=(parcel(value),))
    sending.start()
    arrived = wires[1].receive()
    sending.join()
    return opened(arrived)


def crop(size):
    return PackedCrop("rgb", 28, size, bytes(range(256)) * (28 * size * 3 // 256 + 1))


@pytest.mark.parametrize("size", [1, 900, 20_000])
def test_a_crop_arrives_as_bytes_whatever_its_size(wires, size):
    sent = crop(size)
    arrived = crossed(wires, Value((sent, "and more"))).value
    assert arrived == (sent, "and more")
    assert type(arrived[0].data) is bytes


def test_many_large_things_arrive_in_their_places(wires):
    sent = tuple(crop(size) for size in (2_000, 1, 3_000, 900, 2))
    assert crossed(wires, sent) == sent


def test_an_array_arrives_with_its_shape(wires):
    sent = np.arange(800 * 800 * 3, dtype=np.uint8).reshape(800, 800, 3)
    arrived = crossed(wires, Value(sent)).value
    assert arrived.shape == sent.shape
    assert (arrived == sent).all()


def test_what_is_large_travels_beside_and_what_is_small_inside():
    message = parcel((crop(20_000), crop(1)))
    assert [len(buffer) for buffer in message.buffers] == [len(crop(20_000).data)]
    assert len(message.body) < LARGE


def test_messages_do_not_run_into_each_other(wires):
    sent = [Release((1, 2)), Value(None), Value("third")]
    for value in sent:
        wires[0].send(parcel(value))
    assert [opened(wires[1].receive()) for _ in sent] == sent


def test_an_end_that_closes_between_messages(wires):
    wires[0].close()
    with pytest.raises(EOFError):
        wires[1].receive()


def test_an_end_that_closes_within_a_message(wires):
    sending, receiving = socket.socketpair()
    threading.Thread(target=wires[0].send, args=(parcel(crop(500)),)).start()
    passed_on = wires[1]._exactly(1_000)  # a part of it
    sending.sendall(passed_on)
    sending.close()
    cut_off = Wire(receiving)
    with pytest.raises(EOFError):
        cut_off.receive()
    cut_off.close()


def test_whether_something_waits(wires):
    assert not wires[1].waits(0.0)
    wires[0].send(parcel(Value(1)))
    assert wires[1].waits(10.0)
