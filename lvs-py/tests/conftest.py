"""What all tests have: packets, a director with one service."""

import lvs
import pytest

RULES = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m\n"


@pytest.fixture
def director():
    with lvs.Director(seed=7, connections=1000, events=1000) as director:
        director.load(RULES)
        yield director


@pytest.fixture
def syn():
    return lvs.packets.tcp("198.51.100.9:40000", "192.0.2.10:80")
