//! Files of packets, by the crate `pcap-file`: pcap and pcapng in, pcap out.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapTsResolution, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, Endianness};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::duration;
use crate::errors::Error;
use crate::packets::bytes_of;

/// Bytes of an Ethernet header, and of a VLAN tag in it.
const ETHERNET_LEN: usize = 14;
const TAG_LEN: usize = 4;
/// Longest packet that a capture may hold, as libpcap has it.
const LONGEST: u32 = 262_144;
/// How a pcapng file begins.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The packets of a capture, pcap or pcapng, as an iterator of pairs: when, in seconds since the epoch, and the IP packet.
///
/// Ethernet frames, with VLAN tags or without, and raw IP are read; frames that hold something else, such as ARP, are left
/// out and counted in skipped. Raises CaptureError if the file cannot be read, or where it makes no sense any more.
#[pyclass(frozen, module = "lvs.captures")]
#[derive(Debug)]
pub(crate) struct Capture {
    inner: Mutex<Inner>,
}

struct Inner {
    path: PathBuf,
    format: Format,
    read: u64,
    skipped: u64,
    /// An error ends it.
    over: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("path", &self.path).field("read", &self.read).finish_non_exhaustive()
    }
}

type Source = Box<dyn Read + Send>;

enum Format {
    Pcap(Box<PcapReader<Source>>),
    PcapNg(Box<PcapNgReader<Source>>),
}

#[pymethods]
impl Capture {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        let format = open(&path).map_err(|why| broken(&path, &why))?;
        Ok(Self { inner: Mutex::new(Inner { path, format, read: 0, skipped: 0, over: false }) })
    }

    /// How many frames were left out so far, since they hold no IP packet.
    #[getter]
    fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    const fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(f64, Bound<'py, PyBytes>)>> {
        let mut inner = self.lock();
        loop {
            if inner.over {
                return Ok(None);
            }
            let (time, link, data) = match inner.format.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    inner.over = true;
                    continue;
                }
                Err(why) => {
                    inner.over = true;
                    return Err(broken(&inner.path, &format!("after {} frames: {why}", inner.read)));
                }
            };
            inner.read += 1;
            match ip_packet(link, &data) {
                Ok(Some(packet)) => return Ok(Some((time.as_secs_f64(), PyBytes::new(py, packet)))),
                Ok(None) => inner.skipped += 1,
                Err(why) => {
                    inner.over = true;
                    return Err(broken(&inner.path, &why));
                }
            }
        }
    }

    fn __repr__(&self) -> String {
        let inner = self.lock();
        format!("<lvs.captures.Capture {} after {} frames>", inner.path.display(), inner.read)
    }
}

impl Capture {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(path: &Path, why: &str) -> PyErr {
    Error::Capture(format!("{}: {why}", path.display())).into()
}

fn open(path: &Path) -> Result<Format, String> {
    let mut file = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic).map_err(|error| error.to_string())?;
    let is_pcapng = magic == PCAPNG_MAGIC;
    let whole: Source = Box::new(io::Cursor::new(magic).chain(file));
    let no_capture = |error: &(dyn std::error::Error + 'static)| format!("not a capture: {}", reason(error));
    if is_pcapng {
        let reader = PcapNgReader::new(whole).map_err(|error| no_capture(&error))?;
        return Ok(Format::PcapNg(Box::new(reader)));
    }
    let reader = PcapReader::new(whole).map_err(|error| no_capture(&error))?;
    Ok(Format::Pcap(Box::new(reader)))
}

type Next = Result<Option<(Duration, DataLink, Vec<u8>)>, String>;

impl Format {
    fn next(&mut self) -> Next {
        match self {
            Self::Pcap(reader) => next_of_pcap(reader),
            Self::PcapNg(reader) => next_of_pcapng(reader),
        }
    }
}

fn next_of_pcap(reader: &mut PcapReader<Source>) -> Next {
    let header = reader.header();
    let (link, resolution, longest) = (header.datalink, header.ts_resolution, header.snaplen.max(LONGEST));
    // Unread by the library's checks, which do not allow for a header that names no longest packet.
    let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
    let packet = packet.map_err(|error| reason(&error))?;
    if packet.incl_len > longest {
        return Err(format!("a packet of {} bytes", packet.incl_len));
    }
    let fraction = u64::from(packet.ts_frac);
    let fraction = match resolution {
        PcapTsResolution::MicroSecond => Duration::from_micros(fraction),
        PcapTsResolution::NanoSecond => Duration::from_nanos(fraction),
    };
    Ok(Some((Duration::from_secs(packet.ts_sec.into()) + fraction, link, packet.data.into_owned())))
}

fn next_of_pcapng(reader: &mut PcapNgReader<Source>) -> Next {
    while let Some(next) = reader.next_block() {
        let (block, state) = next.map_err(|error| reason(&error))?;
        let (interface, time, data): (u32, Duration, Cow<'_, [u8]>) = match block {
            Block::EnhancedPacket(packet) => (packet.interface_id, packet.timestamp, packet.data),
            Block::SimplePacket(packet) => (0, Duration::ZERO, packet.data),
            _ => continue,
        };
        let interface = state.interfaces().get(interface as usize);
        let link = interface.ok_or_else(|| String::from("a packet of no interface"))?.linktype;
        return Ok(Some((time, link, data.into_owned())));
    }
    Ok(None)
}

/// What is behind an error, to its first cause.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => String::from("it ends too early"),
        _ => cause.to_string(),
    }
}

/// The IP packet in a frame, with the frame's padding cut off; `None` if there is none.
fn ip_packet(link: DataLink, data: &[u8]) -> Result<Option<&[u8]>, String> {
    match link {
        // 12 is raw IP where a system wrote its own number instead of the registered one.
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 | DataLink::Unknown(12) => Ok(Some(data)),
        DataLink::ETHERNET => Ok(in_ethernet(data)),
        other => Err(format!("packets of the link type {other:?} are not known here")),
    }
}

fn in_ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = ETHERNET_LEN;
    loop {
        match frame.get(at - 2..at)? {
            [0x08, 0x00] | [0x86, 0xdd] => return Some(without_padding(frame.get(at..)?)),
            [0x81, 0x00] | [0x88, 0xa8] => at += TAG_LEN,
            _ => return None,
        }
    }
}

/// Short frames are filled up to 60 bytes; the IP header tells where the packet ends.
fn without_padding(packet: &[u8]) -> &[u8] {
    let length = match *packet {
        [first, _, high, low, ..] if first >> 4 == 4 => usize::from(u16::from_be_bytes([high, low])),
        [first, _, _, _, high, low, ..] if first >> 4 == 6 => 40 + usize::from(u16::from_be_bytes([high, low])),
        _ => return packet,
    };
    packet.get(..length).unwrap_or(packet)
}

/// Write packets into a capture in the format pcap, raw IP: pairs of when, in seconds since the epoch, and the packet.
///
/// Returns how many. What was in the file is overwritten. Raises CaptureError if it cannot be written.
#[pyfunction]
#[pyo3(name = "write_capture")]
pub(crate) fn write(path: PathBuf, packets: &Bound<'_, PyAny>) -> PyResult<u64> {
    let failed = |error: &(dyn std::error::Error + 'static)| broken(&path, &reason(error));
    let file = File::create(&path).map_err(|error| failed(&error))?;
    let header = PcapHeader {
        snaplen: LONGEST,
        datalink: DataLink::RAW,
        ts_resolution: PcapTsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(|error| failed(&error))?;
    let mut written = 0;
    for pair in packets.try_iter()? {
        let (time, packet): (f64, Bound<'_, PyAny>) = pair?.extract()?;
        let (time, bytes) = (duration(time)?, bytes_of(&packet)?);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let packet = PcapPacket::new(time, length, &bytes[..]).map_err(|error| failed(&error))?;
        writer.write_packet(&packet).map_err(|error| failed(&error))?;
        written += 1;
    }
    writer.flush().map_err(|error| failed(&error))?;
    Ok(written)
}
