#!/bin/sh
# The kernel's own way of a packet: in through a veth pair, routed, out through another, whose far end throws it away:
# it is for another host. Once as plain forwarding, once with destination NAT by nftables and connection tracking.
#
# usage: unshare --net nat.sh FLOOD FLOWS ROUNDS   (as root; FLOOD is flood.c, compiled)
# Prints "plain NS" and "nat NS" for rounds of 8192 packets. Everything is in a network namespace that ends with this script.
set -eu
flood=$1 flows=$2 rounds=$3
mac=02:00:00:00:00:02

ip link add from type veth peer name to address $mac
ip link add away type veth peer name far
for interface in lo from to away far; do ip link set $interface up; done
ip address add 192.0.2.254/24 dev away
ip address add 172.16.0.254/24 dev away
ip neighbour add 192.0.2.10 lladdr 02:00:00:00:00:10 dev away nud permanent
ip neighbour add 172.16.0.1 lladdr 02:00:00:00:00:01 dev away nud permanent
set_() { echo "$2" >"/proc/sys/net/$1"; }
set_ ipv4/ip_forward 1
for interface in all default to; do set_ ipv4/conf/$interface/rp_filter 0; done

gone() { awk '$1 == "far:" { print $3 }' /proc/net/dev; }
run() {
	before=$(gone)
	times=$("$flood" from $mac "$flows" "$rounds")
	# Nothing may have been lost, or less was measured than is told; a few more are the namespace's own.
	[ $(($(gone) - before)) -ge $((rounds * 8192 + flows)) ] || { echo "packets were lost" >&2; exit 1; }
	for time in $times; do echo "$1 $time"; done
}

run plain
nft add table ip bench
nft add chain ip bench incoming '{ type nat hook prerouting priority -100; }'
nft add rule ip bench incoming ip daddr 192.0.2.10 tcp dport 80 dnat to 172.16.0.1:8080
set_ netfilter/nf_conntrack_tcp_be_liberal 1
run nat
