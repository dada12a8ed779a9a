#!/usr/bin/env bash
#
# Takes the packet captures that the example `balance` and the tests read.
#
#   take-capture.sh PATH/web.pcap
#
# writes three files, side by side:
#
#   web.pcap                  the whole capture (pcap, Ethernet, microseconds)
#   one-connection.pcapng     one TCP connection out of it (pcapng, Ethernet)
#   one-connection-raw.pcap   the same connection without the Ethernet header
#                             (pcap, link type 101: RAW)
#
# Two network namespaces are joined by a veth pair. In the one, nginx and
# dnsmasq listen on the virtual addresses; in the other, curl, ab and dig run,
# each bound to one of twenty addresses a family. tcpdump listens on the
# server's end of the pair.
#
#   clients (namespace)                            server (namespace)
#   198.51.100.1 .. .20    on lo                   192.0.2.10       on eth0
#   2001:db8:9::1 .. ::20  on lo                   2001:db8:c::10   on eth0
#   192.0.2.1, 2001:db8:c::1  on eth0  <- veth ->  (their default gateway)
#
# Needs: bash, root (for the namespaces), and the programs in `needed` below.
# On Debian 12 they are in iproute2, ethtool, tcpdump, tshark, wireshark-common,
# nginx-light, dnsmasq-base, bind9-dnsutils, curl and apache2-utils.
# Nothing is installed, and nothing outside the namespaces is changed.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

readonly vip4=192.0.2.10 vip6=2001:db8:c::10
readonly gateway4=192.0.2.1 gateway6=2001:db8:c::1
readonly client4=198.51.100. client6=2001:db8:9::
readonly clients=20             # addresses a family; the last part is 1 .. 20
readonly one_port=40001         # the client's port of the one connection
readonly most_bytes=300000      # web.pcap must not become larger than this

fail() { echo "take-capture.sh: $*" >&2; exit 1; }

[[ $# -eq 1 ]] || fail "usage: take-capture.sh PATH/web.pcap"
[[ $EUID -eq 0 ]] || fail "network namespaces need root"
needed=(ip ss ethtool tcpdump tshark editcap nginx dnsmasq dig curl ab)
for program in "${needed[@]}"; do
    command -v "$program" >/dev/null || fail "$program is missing"
done

out=$1
out_dir=$(dirname "$out")
[[ -d $out_dir ]] || fail "$out_dir is no directory"

# --- Clean up, whatever happens --------------------------------------------

readonly server_ns=capture-server-$$ client_ns=capture-clients-$$
work=$(mktemp -d)
chmod 755 "$work"               # nginx's worker reads the pages as nobody

cleanup() {
    local status=$? ns
    trap - EXIT
    for ns in "$client_ns" "$server_ns"; do
        ip netns pids "$ns" 2>/dev/null | xargs -r kill 2>/dev/null || true
    done
    wait
    for ns in "$client_ns" "$server_ns"; do
        ip netns del "$ns" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
trap 'echo "take-capture.sh: line $LINENO failed: $BASH_COMMAND" >&2' ERR

# What runs a command in the one namespace or in the other.
at_server=(ip netns exec "$server_ns")
at_clients=(ip netns exec "$client_ns")
# Sets a kernel parameter of a namespace: set_net NAMESPACE NAME VALUE
set_net() { ip netns exec "$1" sh -c "echo $3 >/proc/sys/net/$2"; }

# Waits until a command succeeds, for five seconds at most.
wait_for() {
    for _ in {1..50}; do "$@" && return; sleep 0.1; done
    fail "waited in vain for: $*"
}

# --- The network -------------------------------------------------------------

ip netns add "$server_ns"
ip netns add "$client_ns"
# The hardware addresses are of the range for documentation (RFC 7042, 2.1.2).
ip -n "$server_ns" link add eth0 address 00:00:5e:00:53:10 mtu 1500 type veth \
    peer name eth0 address 00:00:5e:00:53:01 mtu 1500 netns "$client_ns"

for ns in "$server_ns" "$client_ns"; do
    # Without offloads every packet carries its whole checksum, and none is
    # longer than the MTU.
    ip netns exec "$ns" ethtool -K eth0 \
        tx off rx off sg off gso off gro off tso off >/dev/null
    ip -n "$ns" link set lo up
    ip -n "$ns" link set eth0 up
done

ip -n "$server_ns" address add "$vip4/24" dev eth0
ip -n "$server_ns" address add "$vip6/64" dev eth0 nodad
ip -n "$client_ns" address add "$gateway4/24" dev eth0
ip -n "$client_ns" address add "$gateway6/64" dev eth0 nodad
for ((i = 1; i <= clients; i++)); do
    ip -n "$client_ns" address add "$client4$i/32" dev lo
    ip -n "$client_ns" address add "$client6$i/128" dev lo nodad
done
# The clients' host asks for hardware addresses in its own name, not in a client's.
set_net "$client_ns" ipv4/conf/eth0/arp_announce 2
ip -n "$server_ns" route add default via "$gateway4"
ip -n "$server_ns" route add default via "$gateway6"

# --- The web server ----------------------------------------------------------

# page NAME BYTES makes a page of that many bytes out of numbered lines.
page() {
    awk -v name="$1" -v bytes="$2" 'BEGIN {
        text = "<!doctype html><title>" name "</title><pre>\n"
        for (i = 1; length(text) < bytes; i++)
            text = text sprintf("%s, line %04d of numbers: %d %d %d\n", \
                                name, i, i * i, i * i * i, 7919 * i % 10007)
        printf "%s", substr(text, 1, bytes)
    }' >"$work/pages/$1.html"
}

mkdir "$work/pages"
page index 100                  # what ab asks for, again and again
page small 1000
page news 2200
page list 4000
page large 20000

cat >"$work/nginx.conf" <<NGINX
daemon off;
user nobody nogroup;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off;
    etag off;
    default_type text/html;
    keepalive_timeout 5s;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {                                    # the web site
        listen $vip4:80;
        listen [$vip6]:80;
        root $work/pages;
        location = /form { return 201 "taken\n"; }
        location /slow/ { alias $work/pages/; limit_rate 3k; }
    }
    server {                                    # a second service
        listen $vip4:8080;
        listen [$vip6]:8080;
        location = /health { return 200 "healthy\n"; }
        location / { return 200 "second service\n"; }
    }
}
NGINX
"${at_server[@]}" nginx -e stderr -c "$work/nginx.conf" &

# --- The name server ---------------------------------------------------------

# A zone of its own, and no server above it to ask.
long_text=$(printf 'a record of some length, %.0s' {1..9})
"${at_server[@]}" dnsmasq --keep-in-foreground --conf-file=/dev/null --user=nobody \
    --pid-file="$work/dnsmasq.pid" --log-facility="$work/dnsmasq.log" \
    --no-resolv --no-hosts --no-poll --bind-interfaces --local-ttl=300 \
    --listen-address="$vip4" --listen-address="$vip6" \
    --auth-ttl=300 --local=/example.net/ \
    --host-record="www.example.net,$vip4,$vip6" \
    --cname=web.example.net,www.example.net \
    --mx-host=example.net,www.example.net,10 \
    --txt-record=text.example.net,"${long_text:0:200}" &

listening() { # whether nginx (4 sockets) and dnsmasq (2 sockets) are ready
    [[ $("${at_server[@]}" ss -Hltn "( sport = 80 or sport = 8080 )" | wc -l) -eq 4 &&
        $("${at_server[@]}" ss -Hlun "sport = 53" | grep -Fc -e "$vip4" -e "$vip6") -ge 2 ]]
}
wait_for listening

# The link-local addresses are in use when the kernel has made sure that no
# other host has them.
settled() {
    [[ -z $(ip -n "$server_ns" -6 address show tentative) &&
        -z $(ip -n "$client_ns" -6 address show tentative) ]]
}
wait_for settled

# --- Start the capture -------------------------------------------------------

# TCP and UDP, and the few packets by which the two hosts find each other's
# hardware address (ARP; IPv6 neighbour solicitation and advertisement).
filter='tcp or udp or arp or (icmp6 and (ip6[40] == 135 or ip6[40] == 136))'
"${at_server[@]}" tcpdump -i eth0 -s 0 -n -U --immediate-mode -Z root \
    -w "$work/web.pcap" "$filter" 2>"$work/tcpdump.log" &
tcpdump=$!
wait_for grep -q 'listening on' "$work/tcpdump.log"

# --- The traffic -------------------------------------------------------------

# get CLIENT [curl's options] URL...
get() {
    local client=$1
    shift
    "${at_clients[@]}" curl --silent --noproxy '*' \
        --interface "$client" --connect-timeout 5 "$@" >/dev/null
}
# bench CLIENT REQUESTS AT_ONCE [ab's options] URL
bench() {
    "${at_clients[@]}" ab -q -s 5 -B "$1" -n "$2" -c "$3" "${@:4}" >"$work/ab.log" 2>&1 ||
        { cat "$work/ab.log" >&2; return 1; }
    grep -q '^Failed requests: *0$' "$work/ab.log" || fail "ab: a request failed"
}
# lookup CLIENT SERVER [dig's options] NAME TYPE
lookup() {
    "${at_clients[@]}" dig -b "$1" "@$2" +tries=1 +time=5 "${@:3}" >"$work/dig.log" 2>&1 ||
        { cat "$work/dig.log" >&2; return 1; }
}
readonly web4=http://$vip4 web6=http://[$vip6]

# The one connection of the small captures.
get "${client4}1" --local-port "$one_port" "$web4/small.html"

# Some that take long, while all the rest goes on: slow downloads at 3 kB
# a second, and visitors who ask for page after page on one connection
# (one request in half a second).
slow=()
get "${client4}2" "$web4/slow/large.html" & slow+=($!)
get "${client6}2" "$web6/slow/list.html" & slow+=($!)
get "${client4}3" --rate 2/s \
    "$web4/small.html" "$web4/index.html" "$web4/index.html" "$web4/news.html" & slow+=($!)
get "${client6}3" --rate 2/s \
    "$web6/news.html" "$web6/index.html" "$web6/index.html" "$web6/small.html" & slow+=($!)

# Two who read slowly, and go away before they have read all that has come:
# their host sends RST. (Status 28 is curl's for "took too long".)
give_up() {
    local status=0
    get "$@" --limit-rate 500 --max-time 1.5 || status=$?
    [[ $status -eq 28 ]] || fail "the download was to be broken off, but: $status"
}
give_up "${client4}4" "$web4/slow/list.html" & slow+=($!)
give_up "${client6}4" "$web6/slow/list.html" & slow+=($!)

# Many short connections, and between them everything else; in each round,
# other clients.
for ((round = 1; round <= 15; round++)); do
    a=$((round + 5)) b=$((round % clients + 1))
    # Not every system puts timestamps into its TCP segments.
    set_net "$client_ns" ipv4/tcp_timestamps $((round % 2))
    bench "$client4$a" 4 $((round % 3 + 1)) "$web4/"
    bench "$client6$b" 4 $((round % 3 + 1)) "$web6/"
    lookup "$client4$b" "$vip4" www.example.net A
    lookup "$client6$a" "$vip6" www.example.net AAAA
    case $round in
    1) get "${client4}5" "$web4/list.html" ;;
    2) get "${client6}5" "$web6/list.html" ;;
    3) bench "${client4}19" 6 2 -k "$web4/" ;;          # keep-alive
    4) bench "${client6}19" 6 2 -k "$web6/" ;;
    5) get "${client4}12" --data-binary "@$work/pages/small.html" "$web4/form" ;;
    6) get "${client6}12" --data-binary "@$work/pages/small.html" "$web6/form" ;;
    7) get "${client4}13" "$web4/no-such-page.html" ;;  # 404
    8) get "${client6}13" "$web6/no-such-page.html" ;;
    9) get "${client4}14" --head "$web4/large.html" ;;
    10) get "${client6}14" "$web6/large.html" ;;        # large and fast
    11) lookup "${client4}15" "$vip4" text.example.net TXT
        lookup "${client6}15" "$vip6" text.example.net TXT ;;
    12) lookup "${client4}16" "$vip4" web.example.net A
        lookup "${client6}16" "$vip6" example.net MX ;;
    13) lookup "${client4}17" "$vip4" no-such-name.example.net A ;;
    14) lookup "${client4}18" "$vip4" +tcp text.example.net TXT
        lookup "${client6}18" "$vip6" +tcp www.example.net A ;;
    15) get "${client6}20" --range 0-999 "$web6/list.html" ;;
    esac
    # The second service.
    if ((round % 3 == 0)); then
        get "$client4$b" "$web4:8080/health"
        get "$client6$a" "$web6:8080/health"
    fi
    sleep 0.35
done

for pid in "${slow[@]}"; do wait "$pid"; done

# Every connection comes to its end before the capture does.
none_open() {
    [[ -z $("${at_server[@]}" ss -Htn state established state fin-wait-1 state fin-wait-2 \
        state close-wait state last-ack state closing) ]]
}
wait_for none_open
sleep 0.3

# --- Stop the capture, and judge it ------------------------------------------

kill "$tcpdump"
wait "$tcpdump" || fail "tcpdump failed"
grep -q '^0 packets dropped by kernel' "$work/tcpdump.log" ||
    fail "tcpdump lost packets"

checked() { # checked FILTER [tshark's options]: with every checksum verified
    tshark -r "$work/web.pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE \
        -o udp.check_checksum:TRUE -Y "$@" 2>"$work/tshark.log" ||
        { cat "$work/tshark.log" >&2; return 1; }
}
number() { checked "$1" -T fields -e frame.number | wc -l; }
none() { # none WHAT FILTER
    local n
    n=$(number "$2")
    [[ $n -eq 0 ]] || fail "$n packets with $1"
}

# Status 1 is "good"; "bad" and "unverified" are others.
none "a wrong IPv4 checksum" 'ip && ip.checksum.status != 1'
none "a wrong TCP checksum" 'tcp && tcp.checksum.status != 1'
none "a wrong UDP checksum" 'udp && udp.checksum.status != 1'
none "a wrong ICMPv6 checksum" 'icmpv6 && icmpv6.checksum.status != 1'
none "more than the MTU" 'frame.len > 1514'
none "a part cut off" 'frame.cap_len != frame.len'
none "a segment sent twice" 'tcp.analysis.retransmission'

# Every TCP connection begins with SYN, and ends with RST or with both FINs.
checked tcp -T fields -e tcp.stream -e tcp.flags.syn -e tcp.flags.ack \
    -e tcp.flags.fin -e tcp.flags.reset |
    awk '{ stream[$1]
           if ($2 + 0 && !($3 + 0)) syn[$1] = 1
           fin[$1] += $4
           rst[$1] += $5 }
         END { for (s in stream)
                   if (!syn[s] || (fin[s] < 2 && !rst[s])) { print "stream " s; bad = 1 }
               exit bad }' || fail "a TCP connection is not complete"

bytes=$(stat -c %s "$work/web.pcap")
((bytes <= most_bytes)) || fail "the capture has $bytes bytes, more than $most_bytes"

# --- The two small ones ------------------------------------------------------

tcpdump -Z root -r "$work/web.pcap" -w "$work/one.pcap" \
    "tcp port $one_port" 2>/dev/null
editcap -F pcapng "$work/one.pcap" "$work/one-connection.pcapng"
# Chop off the 14 bytes of the Ethernet header; what begins then is IP.
editcap -F pcap -L -C 14 -T rawip "$work/one.pcap" "$work/one-connection-raw.pcap"

install -m 644 "$work/web.pcap" "$out"
install -m 644 "$work/one-connection.pcapng" "$work/one-connection-raw.pcap" "$out_dir"

# --- What was taken ----------------------------------------------------------

count() { printf '%7d  %s\n' "$(number "$2")" "$1"; }
echo "$out: $bytes bytes"
count "packets" frame
count "packets TCP over IPv4" 'ip && tcp'
count "packets TCP over IPv6" 'ipv6 && tcp'
count "packets UDP over IPv4" 'ip && udp'
count "packets UDP over IPv6" 'ipv6 && udp'
count "packets ARP" arp
count "packets IPv6 neighbour discovery" icmpv6
for port in 80 8080 53; do
    for family in ip ipv6; do
        count "TCP connections to port $port over ${family/%ip/ipv4}" \
            "$family && tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == $port"
    done
done
count "UDP queries to port 53 over ipv4" 'ip && udp.dstport == 53'
count "UDP queries to port 53 over ipv6" 'ipv6 && udp.dstport == 53'
count "HTTP requests" http.request
count "packets with RST" 'tcp.flags.reset == 1'
