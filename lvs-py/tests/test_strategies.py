"""The strategies draw what they say, and a director keeps its promises on it."""

from ipaddress import ip_address

import lvs
from hypothesis import given, settings
from hypothesis import strategies as st
from lvs import testing

from conftest import RULES

few = settings(max_examples=30, deadline=None)


def loaded():
    director = lvs.Director(seed=7, connections=100)
    director.load(RULES)
    return director


@few
@given(testing.addresses(), testing.addresses(6), testing.endpoints(6))
def test_addresses_are_addresses(v4, v6, endpoint):
    assert (ip_address(v4).version, ip_address(v6).version) == (4, 6)
    assert endpoint.startswith("[2001:db8::")


@few
@given(st.lists(testing.packets() | testing.packets("[2001:db8::10]:80"), max_size=20))
def test_well_formed_packets_are_never_unreadable(packets):
    with loaded() as director:
        for number, packet in enumerate(packets):
            assert director.explain(packet, now=number).flow is not None
            director.process(packet, now=number)


@few
@given(st.lists(testing.packets() | testing.mangled(), max_size=20))
def test_whatever_comes_gets_the_verdict_that_was_explained(packets):
    with loaded() as director, loaded() as other:
        one_by_one = []
        for packet in packets:
            why = director.explain(packet, now=1)
            verdict = director.process(packet, now=1)
            assert why.verdict == type(verdict).__name__.lower()
            assert why.reason == getattr(verdict, "reason", None)
            one_by_one.append(verdict)
        assert list(other.process_batch(packets, now=1)) == one_by_one


@few
@given(testing.rules())
def test_rules_are_taken_and_come_back(rules):
    with lvs.Director(seed=7) as director, lvs.Director(seed=7) as other:
        director.load(rules)
        other.load(director.save())
        assert other.save() == director.save()
        assert director.apply(other.save()).is_unchanged


@few
@given(testing.new_flows(), testing.candidates())
def test_a_scheduler_can_be_asked_without_a_pool(flow, servers):
    class Last(lvs.Scheduler):
        def pick(self, flow, servers):
            return max((one for one in servers if one.eligible), key=lambda one: one.position, default=None)

    picked = Last().pick(flow, servers)
    assert picked is None or picked.eligible
    assert eval(repr(servers), vars(lvs)) == servers and eval(repr(flow), vars(lvs)) == flow
