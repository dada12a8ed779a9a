//! Numbers, addresses and ports, in the forms that `ipvsadm` takes.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;

/// A decimal number within a range. Blanks in front, a plus sign and leading zeros are taken, as `strtol` takes them.
pub(crate) fn number(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    digits.parse().ok().filter(|value| range.contains(value))
}

/// An address, and a port if one was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`. Brackets always come with a port, and only
/// around IPv6.
pub(crate) fn endpoint(text: &str) -> Option<Endpoint> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port_text) = rest.split_once("]:")?;
        return Some(Endpoint { ip: IpAddr::V6(host.parse().ok()?), port: Some(port(port_text)?) });
    }
    let (host, port_text) = match text.split_once(':') {
        // Of an IPv4 address and its port there is one colon between.
        Some((_, rest)) if rest.contains(':') => {
            return Some(Endpoint { ip: IpAddr::V6(text.parse().ok()?), port: None });
        }
        Some((host, port_text)) => (host, Some(port_text)),
        None => (text, None),
    };
    let ip = IpAddr::V4(ipv4(host)?);
    match port_text {
        Some(port_text) => Some(Endpoint { ip, port: Some(port(port_text)?) }),
        None => Some(Endpoint { ip, port: None }),
    }
}

/// An address without a port.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse().map(IpAddr::V6).ok().or_else(|| ipv4(text).map(IpAddr::V4))
}

/// An IPv4 address in the forms of `inet_aton`: one to four parts, of which the last fills what is left (`192.0.2` is
/// 192.0.0.2), each decimal, octal (`010`) or hexadecimal (`0x10`).
pub(crate) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = [0u32; 4];
    let mut count = 0;
    for part in text.split('.') {
        *parts.get_mut(count)? = ipv4_part(part)?;
        count += 1;
    }
    let (last, leading) = parts[..count].split_last()?;
    let free_bits = 32 - 8 * u32::try_from(leading.len()).ok()?;
    if leading.iter().any(|&part| part > 0xff) || u64::from(*last) >> free_bits != 0 {
        return None;
    }
    let high = leading.iter().zip([24, 16, 8]).fold(0, |word, (&part, shift)| word | part << shift);
    Some(Ipv4Addr::from(high | last))
}

fn ipv4_part(part: &str) -> Option<u32> {
    let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (part, 8),
        None => (part, 10),
    };
    // `from_str_radix` takes a sign, which an address never has.
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

fn port(text: &str) -> Option<u16> {
    number(text, 0..=u64::from(u16::MAX)).and_then(|value| u16::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn numbers_are_decimal_within_a_range() {
        for (text, value) in
            [("0", Some(0)), ("007", Some(7)), ("+7", Some(7)), (" \t7", Some(7)), ("10", Some(10)), ("11", None)]
        {
            assert_eq!(number(text, 0..=10), value, "{text}");
        }
        for text in ["", " ", "+", "-1", "-0", "0x7", "7 ", "7a", "++7", "99999999999999999999"] {
            assert_eq!(number(text, 0..=u64::MAX), None, "{text}");
        }
    }

    #[test]
    fn ipv4_addresses_take_the_old_forms() {
        for (text, address) in [
            ("192.0.2.1", [192, 0, 2, 1]),
            ("192.0.2", [192, 0, 0, 2]),
            ("192.2", [192, 0, 0, 2]),
            ("24", [0, 0, 0, 24]),
            ("3221225985", [192, 0, 2, 1]),
            ("0xc0000201", [192, 0, 2, 1]),
            ("0XC0.0.0x2.01", [192, 0, 2, 1]),
            ("010.0.0.1", [8, 0, 0, 1]),
            ("10.65535", [10, 0, 255, 255]),
            ("10.16777215", [10, 255, 255, 255]),
        ] {
            assert_eq!(ipv4(text), Some(Ipv4Addr::from(address)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.2.3.",
            "1.2.3.4.5",
            "256.0.0.1",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "08.0.0.1",
            "0x",
            "1.2.3.+4",
            "1.2.3.4 ",
            "a.b",
        ] {
            assert_eq!(ipv4(text), None, "{text}");
        }
    }

    #[test]
    fn endpoints_take_brackets_only_with_a_port() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:80", "[::]:0", "0.0.0.0:0"] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!(format!("{}", core::net::SocketAddr::new(endpoint.ip, endpoint.port.unwrap())), text);
        }
        for text in ["192.0.2.1", "2001:db8::1", "2001:db8::1:80"] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!((format!("{}", endpoint.ip).as_str(), endpoint.port), (text, None));
        }
        for text in [
            "[2001:db8::1]",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "[192.0.2.1]:80",
            "192.0.2.1:",
            ":80",
            "192.0.2.1:65536",
            "192.0.2.1:http",
            "192.0.2.1:80:90",
            "1:2:3:4:5:6:7:8:80",
            "fe80::1%eth0",
            "www",
            "",
        ] {
            assert_eq!(endpoint(text), None, "{text}");
        }
    }
}
