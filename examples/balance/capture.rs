//! Files of packets: pcap and pcapng in, pcap out, one packet at a time.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapTsResolution, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, Endianness};

pub use pcap_file::pcap::PcapTsResolution as Resolution;

/// Bytes of an Ethernet header.
const ETHERNET_LEN: usize = 14;
/// Longest packet that a capture may hold, as libpcap has it.
const LONGEST: u32 = 262_144;
/// How a pcapng file begins.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// What stands in front of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// Nothing.
    Raw,
}

impl Link {
    const fn of(link: DataLink) -> Option<Self> {
        match link {
            DataLink::ETHERNET => Some(Self::Ethernet),
            // 12 is raw IP where a system wrote its own number instead of the registered one.
            DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 | DataLink::Unknown(12) => Some(Self::Raw),
            _ => None,
        }
    }
}

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number, from 1.
    pub number: u64,
    /// When it was captured, since the Unix epoch.
    pub time: Duration,
    /// What it begins with.
    pub link: Link,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// An IP packet, and perhaps padding.
    Ip(&'a [u8]),
    /// Something with a VLAN tag.
    Vlan,
    /// Something else, such as ARP.
    Other,
}

impl Frame {
    /// What the frame holds. Whether the IP packet is whole is for others to say.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        if self.link == Link::Raw {
            return Content::Ip(&self.data);
        }
        let Some((header, packet)) = self.data.split_first_chunk::<ETHERNET_LEN>() else { return Content::Other };
        match [header[12], header[13]] {
            [0x08, 0x00] | [0x86, 0xdd] => Content::Ip(packet),
            [0x81, 0x00] | [0x88, 0xa8] => Content::Vlan,
            _ => Content::Other,
        }
    }

    /// The same frame with another IP packet in it.
    #[must_use]
    pub fn with_packet(&self, packet: &[u8]) -> Self {
        let header = if self.link == Link::Ethernet { ETHERNET_LEN } else { 0 };
        let mut data = self.data[..header.min(self.data.len())].to_vec();
        data.extend_from_slice(packet);
        if let (Link::Ethernet, Some(first)) = (self.link, packet.first()) {
            let ether_type = if first >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
            data[12..14].copy_from_slice(&ether_type);
        }
        Self { data, ..*self }
    }

    /// The same frame, sent on to a next hop by the host that received it. Its hardware address is made from its IP
    /// address: 02:00 and the four bytes of IPv4, 06:00 and the last four of IPv6.
    #[must_use]
    pub fn sent_to(mut self, next_hop: IpAddr) -> Self {
        if self.link == Link::Ethernet && self.data.len() >= ETHERNET_LEN {
            let (first, [a, b, c, d]) = match next_hop {
                IpAddr::V4(address) => (2, address.octets()),
                IpAddr::V6(address) => {
                    let [.., a, b, c, d] = address.octets();
                    (6, [a, b, c, d])
                }
            };
            self.data.copy_within(0..6, 6);
            self.data[..6].copy_from_slice(&[first, 0, a, b, c, d]);
        }
        self
    }

    /// The same frame, sent back to the host it came from.
    #[must_use]
    pub fn sent_back(mut self) -> Self {
        if self.link == Link::Ethernet && self.data.len() >= ETHERNET_LEN {
            let (to, from) = self.data[..12].split_at_mut(6);
            to.swap_with_slice(from);
        }
        self
    }
}

/// Reads a capture from its beginning to its end.
pub struct Reader {
    path: PathBuf,
    format: Format,
    /// The first packet: it tells what a pcapng file holds.
    first: Option<Frame>,
    link: Link,
    frames: u64,
    position: u64,
}

enum Format {
    Pcap(PcapReader<Box<dyn Read>>, Link),
    PcapNg(PcapNgReader<Box<dyn Read>>),
}

impl Reader {
    /// Opens a capture, pcap or pcapng, whichever it is.
    ///
    /// # Errors
    /// [`CaptureError`] if there is no such file, it is no capture, or its packets are of a link type that is not known
    /// here.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let fail = |why: String| CaptureError::Unreadable(path.to_path_buf(), why);
        let mut file = File::open(path).map_err(|error| fail(error.to_string()))?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).map_err(|error| fail(error.to_string()))?;
        let is_pcapng = magic == PCAPNG_MAGIC;
        let whole: Box<dyn Read> = Box::new(io::Cursor::new(magic).chain(file));
        let no_capture = |error: &(dyn Error + 'static)| fail(format!("not a capture: {}", reason(error)));
        let format = if is_pcapng {
            Format::PcapNg(PcapNgReader::new(whole).map_err(|error| no_capture(&error))?)
        } else {
            let reader = PcapReader::new(whole).map_err(|error| no_capture(&error))?;
            let link = reader.header().datalink;
            Format::Pcap(reader, Link::of(link).ok_or_else(|| CaptureError::LinkType(path.to_path_buf(), link))?)
        };
        let link = if let Format::Pcap(_, link) = format { link } else { Link::Ethernet };
        let mut reader = Self { path: path.to_path_buf(), format, first: None, link, frames: 0, position: 24 };
        if is_pcapng {
            reader.first = reader.next_frame()?;
            reader.link = reader.first.as_ref().map_or(Link::Ethernet, |frame| frame.link);
        }
        Ok(reader)
    }

    /// What the packets begin with.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// How fine the timestamps are, at least.
    #[must_use]
    pub fn resolution(&self) -> Resolution {
        match &self.format {
            Format::Pcap(reader, _) => reader.header().ts_resolution,
            Format::PcapNg(_) => Resolution::NanoSecond,
        }
    }

    /// Bytes of the file that have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.format {
            Format::Pcap(..) => self.position,
            Format::PcapNg(reader) => reader.bytes_parsed(),
        }
    }

    /// The next packet, or `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError::Broken`] where the file makes no sense any more; there is no going on behind that.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let next = match &mut self.format {
            Format::Pcap(reader, link) => next_of_pcap(reader, *link),
            Format::PcapNg(reader) => next_of_pcapng(reader),
        };
        match next {
            Ok(Some((time, link, data))) => {
                if self.frames > 0 && link != self.link {
                    return Err(self.broken(String::from("packets of different link types")));
                }
                self.frames += 1;
                self.position += 16 + data.len() as u64;
                Ok(Some(Frame { number: self.frames, time, link, data }))
            }
            Ok(None) => Ok(None),
            Err(Broken::LinkType(link)) => Err(CaptureError::LinkType(self.path.clone(), link)),
            Err(Broken::Format(why)) => Err(self.broken(why)),
        }
    }

    fn broken(&self, why: String) -> CaptureError {
        CaptureError::Broken { path: self.path.clone(), after: self.frames, why }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// What ends the reading of a file early.
enum Broken {
    LinkType(DataLink),
    Format(String),
}

type Next = Result<Option<(Duration, Link, Vec<u8>)>, Broken>;

fn next_of_pcap(reader: &mut PcapReader<Box<dyn Read>>, link: Link) -> Next {
    let (resolution, longest) = (reader.header().ts_resolution, reader.header().snaplen.max(LONGEST));
    // Unread by the library's checks, which do not allow for a header that names no longest packet.
    let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
    let packet = packet.map_err(|error| Broken::Format(reason(&error)))?;
    if packet.incl_len > longest {
        return Err(Broken::Format(format!("a packet of {} bytes", packet.incl_len)));
    }
    let fraction = u64::from(packet.ts_frac);
    let fraction = match resolution {
        PcapTsResolution::MicroSecond => Duration::from_micros(fraction),
        PcapTsResolution::NanoSecond => Duration::from_nanos(fraction),
    };
    Ok(Some((Duration::from_secs(packet.ts_sec.into()) + fraction, link, packet.data.into_owned())))
}

fn next_of_pcapng(reader: &mut PcapNgReader<Box<dyn Read>>) -> Next {
    while let Some(next) = reader.next_block() {
        let (block, state) = next.map_err(|error| Broken::Format(reason(&error)))?;
        let (interface, time, data) = match block {
            Block::EnhancedPacket(packet) => (packet.interface_id, packet.timestamp, packet.data),
            Block::SimplePacket(packet) => (0, Duration::ZERO, packet.data),
            _ => continue,
        };
        let interface = state.interfaces().get(interface as usize);
        let link = interface.ok_or_else(|| Broken::Format(String::from("a packet of no interface")))?.linktype;
        let link = Link::of(link).ok_or(Broken::LinkType(link))?;
        return Ok(Some((time, link, data.into_owned())));
    }
    Ok(None)
}

/// What is behind an error, to its first cause.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => String::from("it ends too early"),
        _ => cause.to_string(),
    }
}

/// Writes a capture in the format pcap.
pub struct Writer {
    path: PathBuf,
    writer: PcapWriter<HeaderFirst>,
    frames: u64,
}

impl Writer {
    /// Creates the file, and the directory it is in; what was there is overwritten. A disk that takes nothing is found out
    /// here, not when all the work is done.
    ///
    /// # Errors
    /// [`CaptureError::Unwritable`].
    pub fn create(path: &Path, link: Link, resolution: Resolution) -> Result<Self, CaptureError> {
        let fail = |error: &(dyn Error + 'static)| CaptureError::Unwritable(path.to_path_buf(), reason(error));
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|error| fail(&error))?;
        }
        let file = File::create(path).map_err(|error| fail(&error))?;
        let header = PcapHeader {
            snaplen: LONGEST,
            datalink: match link {
                Link::Ethernet => DataLink::ETHERNET,
                Link::Raw => DataLink::RAW,
            },
            ts_resolution: resolution,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(HeaderFirst { file: BufWriter::new(file), left: HEADER }, header)
            .map_err(|error| fail(&error))?;
        Ok(Self { path: path.to_path_buf(), writer, frames: 0 })
    }

    /// Writes one packet.
    ///
    /// # Errors
    /// [`CaptureError::Unwritable`].
    pub fn write(&mut self, frame: &Frame) -> Result<(), CaptureError> {
        let length = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        let packet = PcapPacket::new(frame.time, length, &frame.data[..]).map_err(|error| self.failed(&error))?;
        self.writer.write_packet(&packet).map_err(|error| self.failed(&error))?;
        self.frames += 1;
        Ok(())
    }

    /// Makes sure that everything is in the file; returns how many packets that are.
    ///
    /// # Errors
    /// [`CaptureError::Unwritable`].
    pub fn finish(self) -> Result<u64, CaptureError> {
        let flushed = self.writer.into_inner().flush();
        flushed.map_err(|error| CaptureError::Unwritable(self.path, error.to_string()))?;
        Ok(self.frames)
    }

    fn failed(&self, error: &(dyn Error + 'static)) -> CaptureError {
        CaptureError::Unwritable(self.path.clone(), reason(error))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// Bytes of a capture's header.
const HEADER: usize = 24;

/// A file whose header is written at once, and the rest when there is enough of it.
struct HeaderFirst {
    file: BufWriter<File>,
    /// What of the header is still to come.
    left: usize,
}

impl Write for HeaderFirst {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if self.left > 0 {
            self.left = self.left.saturating_sub(written);
            self.file.flush()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Why a capture cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureError {
    /// It is not there, or it is no capture.
    Unreadable(PathBuf, String),
    /// Its packets begin with something else than Ethernet or IP.
    LinkType(PathBuf, DataLink),
    /// It makes no sense from some point on.
    Broken {
        /// Which file.
        path: PathBuf,
        /// Packets before that point.
        after: u64,
        /// What is wrong.
        why: String,
    },
    /// It cannot be written.
    Unwritable(PathBuf, String),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "{}: {why}", path.display()),
            Self::LinkType(path, link) => {
                write!(f, "{}: link type {link:?} is not known here: only Ethernet and raw IP are", path.display())
            }
            Self::Broken { path, after, why } => {
                write!(f, "{}: broken behind packet {after}: {why}", path.display())
            }
            Self::Unwritable(path, why) => write!(f, "cannot write {}: {why}", path.display()),
        }
    }
}

impl Error for CaptureError {}
