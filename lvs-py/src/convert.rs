//! What Python users write, as values of lvs-core: addresses, services, times, names; and the names of its values.
//!
//! Many forms are taken, one is given back: texts such as `192.0.2.10:80` and `TCP 192.0.2.10:80`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lvs_core::{
    Admission, Checksum, DaemonRole, Direction, Family, FlowState, Hook, Instant, Kernel, Meta, Method, Netmask,
    Protocol, Rest, SchedulerFlags, SctpState, ServiceKey, TcpState,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::errors::Error;

/// An IP address: a text, or an object of the module `ipaddress`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub(crate) IpAddr);

impl<'py> FromPyObject<'_, 'py> for Address {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_str()?;
            return text.parse().map(Self).map_err(|_| value_error(format!("{text:?} is not an IP address")));
        }
        let wrong =
            || PyTypeError::new_err(format!("an IP address must be a str or of ipaddress, not {}", kind(&object)));
        object.extract().map(Self).map_err(|_| wrong())
    }
}

/// An address and a port: a text such as `192.0.2.1:80` or `[2001:db8::1]:80`, or a pair. Without a port, port 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

impl<'py> FromPyObject<'_, 'py> for Endpoint {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return endpoint(text.to_str()?).map(Self);
        }
        if let Ok(pair) = object.cast::<PyTuple>()
            && pair.len() == 2
        {
            let (address, port): (Address, u16) = pair.extract()?;
            return Ok(Self(SocketAddr::new(address.0, port)));
        }
        if let Ok(address) = object.extract::<IpAddr>() {
            return Ok(Self(SocketAddr::new(address, 0)));
        }
        Err(PyTypeError::new_err(format!(
            "an endpoint must be a str or a pair of address and port, not {}",
            kind(&object)
        )))
    }
}

fn endpoint(text: &str) -> PyResult<SocketAddr> {
    let whole = text.parse().ok();
    let address = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    whole.or_else(|| address().map(|address| SocketAddr::new(address, 0))).ok_or_else(|| {
        value_error(format!("{text:?} is not an address and port, such as 192.0.2.1:80 or [2001:db8::1]:80"))
    })
}

/// Several of a kind, in anything that gives them one by one, but for a text, which would give its letters.
#[derive(Clone, Debug)]
pub(crate) struct Several<T>(pub(crate) Vec<T>);

impl<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr>> FromPyObject<'_, 'py> for Several<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let wrong = || PyTypeError::new_err(format!("a list, or the like, is wanted, not {}", kind(&object)));
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
            return Err(wrong());
        }
        object.try_iter().map_err(|_| wrong())?.map(|one| one?.extract()).collect::<PyResult<_>>().map(Self)
    }
}

/// A service: a text such as `TCP 192.0.2.10:80` or `FWM 5` or `FWM 5 IPv6`, a pair, or a record that has a `key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(pub(crate) ServiceKey);

impl<'py> FromPyObject<'_, 'py> for Key {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return service_key(text.to_str()?).map(Self);
        }
        if let Ok(pair) = object.cast::<PyTuple>()
            && pair.len() == 2
        {
            let name: String = pair.get_item(0)?.extract()?;
            return service(&name, &pair.get_item(1)?, Family::V4).map(Self);
        }
        if let Ok(key) = object.getattr("key") {
            return key.extract::<String>().and_then(|key| service_key(&key)).map(Self);
        }
        Err(PyTypeError::new_err(format!("a service must be a str such as 'tcp 192.0.2.10:80', not {}", kind(&object))))
    }
}

fn service_key(text: &str) -> PyResult<ServiceKey> {
    let wrong = || value_error(format!("{text:?} is not a service, such as 'tcp 192.0.2.10:80' or 'fwm 5'"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let family = match words.get(2).map(|word| word.to_ascii_lowercase()) {
        None => Family::V4,
        Some(word) if word == "ipv6" && words.len() == 3 => Family::V6,
        Some(_) => return Err(wrong()),
    };
    match words[..] {
        [name, mark, ..] if name.eq_ignore_ascii_case("fwm") => {
            Ok(ServiceKey::mark(mark.parse().map_err(|_| wrong())?, family))
        }
        [name, address] => Ok(ServiceKey::address(protocol(name).map_err(|_| wrong())?, endpoint(address)?)),
        _ => Err(wrong()),
    }
}

/// The service of a protocol and an address, or of `fwm` and a mark.
pub(crate) fn service(name: &str, of: &Bound<'_, PyAny>, family: Family) -> PyResult<ServiceKey> {
    if name.eq_ignore_ascii_case("fwm") {
        return Ok(ServiceKey::mark(of.extract()?, family));
    }
    Ok(ServiceKey::address(protocol(name)?, of.extract::<Endpoint>()?.0))
}

/// A net of clients: `198.51.100.0/24`, an address, or a network of the module `ipaddress`.
pub(crate) fn net(object: &Bound<'_, PyAny>) -> PyResult<(IpAddr, u8)> {
    let text = object.str()?;
    let text = text.to_str()?;
    let wrong = || value_error(format!("{text:?} is not a net, such as 198.51.100.0/24"));
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(whole), str::parse).ok().filter(|prefix| *prefix <= whole).ok_or_else(wrong)?;
    Ok((address, prefix))
}

/// The part of a client's address that counts: an IPv4 mask, or an IPv6 prefix length.
pub(crate) fn netmask(object: &Bound<'_, PyAny>) -> PyResult<Netmask> {
    if let Ok(prefix) = object.extract::<u8>() {
        return Ok(Netmask::V6(prefix));
    }
    match object.extract::<Address>()?.0 {
        IpAddr::V4(mask) => Ok(Netmask::V4(mask)),
        IpAddr::V6(_) => Err(value_error(String::from("an IPv6 netmask is a prefix length, an int"))),
    }
}

// Texts.

/// An address as a text.
pub(crate) fn ip_text(py: Python<'_>, address: IpAddr) -> Bound<'_, PyString> {
    match address {
        IpAddr::V4(address) => {
            let mut short = Short::default();
            short.v4(address);
            short.text(py)
        }
        IpAddr::V6(_) => PyString::new(py, &address.to_string()),
    }
}

/// An address and a port as a text.
pub(crate) fn endpoint_text(py: Python<'_>, endpoint: SocketAddr) -> Bound<'_, PyString> {
    match endpoint {
        SocketAddr::V4(of) => {
            let mut short = Short::default();
            short.v4(*of.ip());
            short.put(b':');
            short.number(of.port());
            short.text(py)
        }
        SocketAddr::V6(_) => PyString::new(py, &endpoint.to_string()),
    }
}

/// A text of an IPv4 address, written by hand: people look at the next hop of every packet, and the usual way takes
/// several times as long as the packet.
#[derive(Default)]
struct Short {
    bytes: [u8; "255.255.255.255:65535".len()],
    length: usize,
}

impl Short {
    fn put(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn number(&mut self, number: u16) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.put(b'0' + (number % 10) as u8);
    }

    fn v4(&mut self, address: Ipv4Addr) {
        for (place, octet) in address.octets().into_iter().enumerate() {
            if place > 0 {
                self.put(b'.');
            }
            self.number(u16::from(octet));
        }
    }

    fn text<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, str::from_utf8(&self.bytes[..self.length]).unwrap_or_default())
    }
}

// Times.

pub(crate) fn instant(seconds: f64) -> Result<Instant, Error> {
    // The conversion saturates: what is too large becomes "never". From 2^52 on there is nothing to round.
    let nanos = seconds * 1e9;
    let half = if nanos < (1_u64 << 52) as f64 { 0.5 } else { 0.0 };
    let is_time = seconds.is_finite() && seconds >= 0.0;
    if is_time { Ok(Instant::from_nanos((nanos + half) as u64)) } else { Err(Error::Now) }
}

/// Seconds since the origin.
pub(crate) fn seconds(instant: Instant) -> f64 {
    instant.as_nanos() as f64 / 1e9
}

pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| value_error(format!("{seconds:?} is not a number of seconds")))
}

// Names.

macro_rules! names {
    ($($(#[$doc:meta])* $read:ident / $name:ident: $type:ty, $what:literal { $($text:literal => $value:expr,)+ })+) => { $(
        $(#[$doc])*
        pub(crate) fn $read(text: &str) -> PyResult<$type> {
            $(if text.eq_ignore_ascii_case($text) { return Ok($value); })+
            Err(value_error(format!(concat!("{:?} is not ", $what, ": ", $("'", $text, "' ",)+), text).trim_end().to_string()))
        }

        #[allow(dead_code, reason = "not every kind of name is given back")]
        pub(crate) fn $name(value: $type) -> &'static str {
            $(if value == $value { return $text; })+
            "unknown"
        }
    )+ };
}

names! {
    protocol / protocol_text: Protocol, "a protocol" {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
    }
    method / method_name: Method, "a forwarding method" {
        "nat" => Method::Nat,
        "dr" => Method::Dr,
        "tun" => Method::Tun,
    }
    direction / direction_name: Direction, "a direction" {
        "to-server" => Direction::ToServer,
        "to-client" => Direction::ToClient,
    }
    family / family_name: Family, "a family" {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
    }
    hook / hook_name: Hook, "a hook" {
        "local" => Hook::Local,
        "forward" => Hook::Forward,
    }
    checksum / checksum_name: Checksum, "what is known of a checksum" {
        "unverified" => Checksum::Unverified,
        "verified" => Checksum::Verified,
        "partial" => Checksum::Partial,
    }
    rest / rest_name: Rest, "what becomes of the rest" {
        "keep" => Rest::Keep,
        "drop" => Rest::Drop,
        "reset" => Rest::Reset,
    }
    role / role_name: DaemonRole, "a role" {
        "master" => DaemonRole::Master,
        "backup" => DaemonRole::Backup,
    }
    kernel / kernel_name: Kernel, "a kernel" {
        "6.1.192" => Kernel::V6_1_192,
        "older" => Kernel::Older,
    }
    admission / admission_name: Admission, "an admission" {
        "refuse" => Admission::Refuse,
        "evict-half-open" => Admission::EvictHalfOpen,
        "evict-half-open-and-single" => Admission::EvictHalfOpenAndSingle,
    }
}

/// Flags of `sh` and `mh`.
const FLAGS: [(&str, SchedulerFlags); 3] =
    [("fallback", SchedulerFlags::FALLBACK), ("port", SchedulerFlags::PORT), ("flag-3", SchedulerFlags::THIRD)];

pub(crate) fn flags(names: &[String]) -> PyResult<SchedulerFlags> {
    names.iter().try_fold(SchedulerFlags::NONE, |all, name| {
        let flag = FLAGS.iter().find(|(text, _)| text == name);
        let wrong = || value_error(format!("{name:?} is not a scheduler flag: 'fallback' 'port' 'flag-3'"));
        flag.map(|(_, flag)| all.with(*flag)).ok_or_else(wrong)
    })
}

pub(crate) fn flag_names(flags: SchedulerFlags) -> Vec<&'static str> {
    FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(text, _)| *text).collect()
}

/// Every state of every protocol, as `TCP ESTABLISHED`.
pub(crate) fn states() -> impl Iterator<Item = (String, FlowState)> {
    let tcp = TcpState::ALL.into_iter().map(|state| (format!("TCP {}", state.name()), FlowState::Tcp(state)));
    let sctp = SctpState::ALL.into_iter().map(|state| (format!("SCTP {}", state.name()), FlowState::Sctp(state)));
    tcp.chain(sctp).chain([(String::from("UDP"), FlowState::Udp)])
}

pub(crate) fn meta(mark: u32, hook_name: &str, checksum_name: &str, from_host: bool) -> PyResult<Meta> {
    let mut meta = Meta::marked(mark);
    if hook_name != "local" {
        meta.hook = hook(hook_name)?;
    }
    if checksum_name != "unverified" {
        meta.checksum = checksum(checksum_name)?;
    }
    meta.from_host = from_host;
    Ok(meta)
}

pub(crate) fn value_error(message: String) -> PyErr {
    PyValueError::new_err(message)
}

/// The name of an object's class, for messages.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| String::from("this"), |name| name.to_string())
}
