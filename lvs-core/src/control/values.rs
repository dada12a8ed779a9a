//! Numbers, addresses and ports, in the forms that `ipvsadm` takes and in the one that it writes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;

/// A decimal number within a range. Blanks in front, a sign and leading zeros are taken, as `strtol` takes them; below
/// zero is no range, so that `-0` is all that a minus sign is good for.
pub(crate) fn number(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let (is_negative, text) = match without_blanks(text).as_bytes() {
        [b'-', text @ ..] => (true, text),
        [b'+', text @ ..] => (false, text),
        text => (false, text),
    };
    match digits::<10>(text) {
        Some((value, [])) if range.contains(&value) && (value == 0 || !is_negative) => Some(value),
        _ => None,
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The text without blanks in front.
fn without_blanks(text: &str) -> &str {
    let blanks = text.bytes().take_while(|&byte| is_blank(byte)).count();
    &text[blanks..]
}

/// An address, and a port if one was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`. Brackets always come with a port; around IPv4, what
/// follows them is not even looked at. Digits alone are no address.
pub(crate) fn endpoint(text: &str) -> Option<Endpoint> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port_text) = rest.split_once("]:")?;
        return match host.parse::<Ipv6Addr>() {
            Ok(ip) => Some(Endpoint { ip: IpAddr::V6(ip), port: Some(port(port_text)?) }),
            Err(_) => endpoint_v4(host, host.find(':')),
        };
    }
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut colons = text.bytes().enumerate().filter(|&(_, byte)| byte == b':').map(|(at, _)| at);
    let colon = colons.next();
    // Of an IPv4 address and its port there is one colon between.
    if colons.next().is_some() {
        return Some(Endpoint { ip: IpAddr::V6(text.parse().ok()?), port: None });
    }
    endpoint_v4(text, colon)
}

/// An IPv4 address, with a port behind a colon if there is one.
fn endpoint_v4(text: &str, colon: Option<usize>) -> Option<Endpoint> {
    let (host, port) = match colon {
        Some(colon) => (&text[..colon], Some(port(&text[colon + 1..])?)),
        None => (text, None),
    };
    Some(Endpoint { ip: IpAddr::V4(ipv4(host)?), port })
}

/// An IPv6 prefix length, as `atoi` reads it: the number that the text begins with, what follows it left alone, of a
/// number too large the lower half.
pub(crate) fn prefix_length(text: &str) -> Option<u8> {
    let signed = without_blanks(text);
    let digits = signed.trim_start_matches(['+', '-']);
    let (sign, digits) = match signed.len() - digits.len() {
        0 => (1, digits),
        1 => (if signed.starts_with('-') { -1 } else { 1 }, digits),
        _ => return None,
    };
    let read = digits.bytes().take_while(u8::is_ascii_digit);
    let value = read.fold(0i64, |value, digit| value.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0')));
    u8::try_from(value & 0xffff_ffff).ok().filter(|length| (1..=128).contains(length))
}

/// An IPv4 address in the forms of `inet_aton`: one to four parts, of which the last fills what is left (`192.0.2` is
/// 192.0.0.2), each decimal, octal (`010`) or hexadecimal (`0x10`). What follows a blank is left alone.
pub(crate) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let (mut address, mut free_bits) = (0, 32);
    let mut rest = text.as_bytes();
    loop {
        let (part, behind) = ipv4_part(rest)?;
        let part = u32::try_from(part).ok()?;
        match behind {
            [b'.', next @ ..] if part <= 0xff && free_bits > 8 => {
                free_bits -= 8;
                address |= part << free_bits;
                rest = next;
            }
            [first, ..] if !is_blank(*first) => return None,
            _ if u64::from(part) >> free_bits != 0 => return None,
            _ => return Some(Ipv4Addr::from(address | part)),
        }
    }
}

/// The number that a text begins with, and what follows its digits.
fn ipv4_part(text: &[u8]) -> Option<(u64, &[u8])> {
    match text {
        [b'0', b'x' | b'X', hexadecimal @ ..] => digits::<16>(hexadecimal),
        [b'0', ..] => digits::<8>(text),
        _ => digits::<10>(text),
    }
}

/// No number that means something has more than 32 bits.
const GREAT: u64 = 1 << 40;

/// The number that the digits at the beginning of a text make, and what follows them; `None` if there is no digit, or the
/// number is far too great.
fn digits<const RADIX: u32>(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut rest) = (0u64, text);
    while let [first, next @ ..] = rest
        && let Some(digit) = char::from(*first).to_digit(RADIX)
    {
        if value > GREAT {
            return None;
        }
        value = value * u64::from(RADIX) + u64::from(digit);
        rest = next;
    }
    (rest.len() < text.len()).then_some((value, rest))
}

fn port(text: &str) -> Option<u16> {
    number(text, 0..=u64::from(u16::MAX)).and_then(|value| u16::try_from(value).ok())
}

/// An address as the C library writes it. IPv6 ends in the form of IPv4 where only its last two groups are not zero.
pub(crate) struct Written(pub(crate) IpAddr);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(address) => match address.segments() {
                [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                    let [.., a, b, c, d] = address.octets();
                    write!(f, "::{}", Ipv4Addr::new(a, b, c, d))
                }
                _ => address.fmt(f),
            },
            IpAddr::V4(address) => address.fmt(f),
        }
    }
}

/// An address and port as `ipvsadm` writes them.
pub(crate) struct WrittenEndpoint(pub(crate) SocketAddr);

impl fmt::Display for WrittenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = (Written(self.0.ip()), self.0.port());
        if self.0.is_ipv6() { write!(f, "[{address}]:{port}") } else { write!(f, "{address}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn numbers_are_decimal_within_a_range() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            (" \t7", Some(7)),
            ("10", Some(10)),
            (" -0", Some(0)),
            ("11", None),
        ] {
            assert_eq!(number(text, 0..=10), value, "{text}");
        }
        for text in ["", " ", "+", "-1", "-", "-+0", "--0", "0x7", "7 ", "7a", "++7", "99999999999999999999"] {
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
            ("1.2.3.4 ", [1, 2, 3, 4]),
            ("1.2.3.4\tand more", [1, 2, 3, 4]),
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
            " 1.2.3.4",
            "a.b",
        ] {
            assert_eq!(ipv4(text), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_length_is_what_a_text_begins_with() {
        for (text, length) in [
            ("64", Some(64)),
            (" +64", Some(64)),
            ("64x", Some(64)),
            ("1.5", Some(1)),
            ("4294967360", Some(64)),
            ("-4294967232", Some(64)),
            ("0", None),
            ("129", None),
            ("x64", None),
            ("+-64", None),
            ("18446744073709551680", None),
            ("", None),
        ] {
            assert_eq!(prefix_length(text), length, "{text}");
        }
    }

    #[test]
    fn the_port_behind_a_bracketed_ipv4_address_is_not_looked_at() {
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
        for text in ["[192.0.2.10]:80", "[192.0.2.10]:", "[192.0.2.10]:http", "192.0.2.10"] {
            assert_eq!(endpoint(text), Some(Endpoint { ip, port: None }), "{text}");
        }
        assert_eq!(endpoint("[192.0.2.10:90]:80"), Some(Endpoint { ip, port: Some(90) }));
    }

    #[test]
    fn addresses_are_written_as_the_c_library_writes_them() {
        for text in [
            "192.0.2.1:80",
            "[::192.0.2.9]:80",
            "[::0.1.0.0]:0",
            "[::2]:1",
            "[::]:1",
            "[::ffff:192.0.2.1]:80",
            "[fd00::1]:9",
        ] {
            assert_eq!(format!("{}", WrittenEndpoint(text.parse().unwrap())), text);
        }
    }

    #[test]
    fn endpoints_take_brackets_only_with_a_port() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:80", "[::]:0", "0.0.0.0:0"] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!(format!("{}", SocketAddr::new(endpoint.ip, endpoint.port.unwrap())), text);
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
            "[192.0.2.1]",
            "[www]:80",
            "80",
            "3221225985",
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
