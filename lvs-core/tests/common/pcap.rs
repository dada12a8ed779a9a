//! Classic pcap files, as far as the captures of this project need them.

use std::path::PathBuf;

const ETHERNET: u32 = 1;
const RAW_IP: u32 = 101;
const ETHERNET_HEADER: usize = 14;

/// The captures of the project, by name, each as its IP packets.
///
/// # Panics
/// If there are none, or one cannot be read.
pub(crate) fn captures() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/captures");
    let mut found: Vec<(String, Vec<Vec<u8>>)> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder of captures").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, packets(&std::fs::read(&path).expect("a capture that can be read")))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no capture in {}", folder.display());
    found
}

/// The IP packets of a little-endian pcap file.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(word(0), 0xa1b2_c3d4, "a little-endian pcap file with microseconds");
    let link = word(20);
    let (mut at, mut packets) = (24, Vec::new());
    while at < file.len() {
        let len = word(at + 8) as usize;
        let record = &file[at + 16..at + 16 + len];
        packets.extend(ip_of(link, record).map(<[u8]>::to_vec));
        at += 16 + len;
    }
    packets
}

fn ip_of(link: u32, record: &[u8]) -> Option<&[u8]> {
    match link {
        RAW_IP => Some(record),
        ETHERNET => match record[12..ETHERNET_HEADER] {
            [0x08, 0x00] | [0x86, 0xdd] => Some(&record[ETHERNET_HEADER..]),
            _ => None,
        },
        other => panic!("link type {other} is not known here"),
    }
}
