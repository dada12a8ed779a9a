//! What the program is asked to do.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::RangedU64ValueParser;

/// Balances a packet capture by rules in the syntax of ipvsadm.
///
/// Every packet of the capture that a client sent goes to the director, at its time. What leaves the director is
/// written to another capture: packets rewritten for the real servers, and ICMP errors. For servers reached by NAT the
/// example plays the server: each captured reply is turned into the one that server would have sent, goes through the
/// director, and must come out as it was captured. Servers reached by direct routing or a tunnel answer their clients
/// themselves.
///
/// Captures are pcap or pcapng, of Ethernet or raw IP. Without arguments, a capture of web and DNS traffic is balanced.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "balance",
    max_term_width = 100,
    after_help = "Exit codes: 0 all went well; 1 something could not be read or written, or a reply did not come out \
                  as it was captured; 2 a wrong option or a wrong rule."
)]
pub struct Arguments {
    /// Rules, as `ipvsadm -S` writes them [default: NAT for IPv4, direct routing and tunnels for IPv6]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Capture to balance [default: captures/web.pcap of this example]
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Where to write what leaves the director [default: balanced.pcap in the workspace's target directory]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Say what becomes of packet N, and why; the first packet is 1, as for tshark
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub explain: Option<u64>,
    /// Hand packets that came at the same time to the director so many at once; the result is the same
    #[arg(long, value_name = "N", default_value = "64", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub burst: usize,
}
