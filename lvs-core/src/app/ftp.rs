//! What an FTP control connection says: the client's commands and the server's announcements that name a data
//! connection.
//!
//! Follows: the FTP helper of IPVS in Linux 6.1.192 (RFC 959 and RFC 2428, read generously in some places and narrowly in
//! others). Each function looks at the payload of one segment; nothing is put together across segments.

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use crate::addr::{Addr, Family};

/// Who is to say where the next data connection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The client, by PORT or EPRT; it is so at first.
    #[default]
    Active,
    /// The server, in its answer to PASV.
    Passive,
    /// The server, in its answer to EPSV.
    ExtendedPassive,
}

/// What a client's segment says of data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The server is to announce an endpoint.
    Announce(Mode),
    /// The server is to connect to this endpoint.
    Connect(Addr, u16),
}

/// An endpoint that a server announces, and where in the payload it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) address: Addr,
    pub(crate) port: u16,
    /// What is replaced to name another endpoint.
    pub(crate) span: Range<usize>,
}

/// Reads a segment of the client.
///
/// PASV and EPSV may stand anywhere in it; PORT and EPRT must be its beginning.
pub(crate) fn command(payload: &[u8], family: Family) -> Option<Command> {
    for rest in payload.windows(SHORTEST).enumerate().map(|(at, _)| &payload[at..]) {
        if family == Family::V4 && begins(rest, b"PASV\r\n") {
            return Some(Command::Announce(Mode::Passive));
        }
        if begins(rest, b"EPSV") {
            match rest[4] {
                b'\r' => return Some(Command::Announce(Mode::ExtendedPassive)),
                b' ' => {
                    let asks = rest[5] == family_digit(family) && rest.get(6) == Some(&b'\r');
                    return asks.then_some(Command::Announce(Mode::ExtendedPassive));
                }
                _ => {}
            }
        }
    }
    if family == Family::V4 && begins(payload, b"PORT") {
        let mut text = Reader { text: payload, at: 4 };
        text.skip_to(b' ', true)?;
        let (address, port) = text.six_numbers()?;
        return Some(Command::Connect(address, port));
    }
    if begins(payload, b"EPRT") {
        let mut text = Reader { text: payload, at: 4 };
        text.skip_to(b' ', false)?;
        let delimiter = text.delimiter()?;
        let address = text.family_and_address(family, delimiter)?;
        return Some(Command::Connect(address, text.port(delimiter)?));
    }
    None
}

/// The shortest command that is looked for everywhere in a segment.
const SHORTEST: usize = 6;

/// Reads a segment of the server, whose address is `server`, for the announcement that the client has asked for.
pub(crate) fn announcement(payload: &[u8], mode: Mode, family: Family, server: Addr) -> Option<Announcement> {
    let mut text = Reader { text: payload, at: 4 };
    match mode {
        Mode::Active => None,
        Mode::Passive => {
            begins(payload, b"227 ").then_some(())?;
            text.skip_to(b'(', true)?;
            let start = text.at;
            let (address, port) = text.six_numbers()?;
            Some(Announcement { address, port, span: start..text.at })
        }
        Mode::ExtendedPassive => {
            begins(payload, b"229 ").then_some(())?;
            text.skip_to(b'(', false)?;
            let start = text.at;
            let delimiter = text.delimiter()?;
            let address = if text.peek()? == delimiter {
                text.at += 1;
                text.expect(delimiter)?;
                server
            } else {
                text.family_and_address(family, delimiter)?
            };
            let port = text.port(delimiter)?;
            Some(Announcement { address, port, span: start..text.at })
        }
    }
}

/// Writes an announcement of a virtual endpoint, in the form that the client has asked for.
pub(crate) fn announce(mode: Mode, address: Addr, port: u16) -> Text {
    let mut text = Text::default();
    let written = match mode {
        Mode::ExtendedPassive => write!(text, "|||{port}|"),
        Mode::Active | Mode::Passive => {
            let ([a, b, c, d], [high, low]) = (address.to_v4_bytes(), port.to_be_bytes());
            write!(text, "{a},{b},{c},{d},{high},{low}")
        }
    };
    debug_assert!(written.is_ok(), "the longest is six numbers of three digits and five commas");
    text
}

/// A short text without a heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    bytes: [u8; 24],
    len: usize,
}

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

const fn family_digit(family: Family) -> u8 {
    match family {
        Family::V4 => b'1',
        Family::V6 => b'2',
    }
}

/// Does a text begin with a word, in whatever case?
fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// A place in a text. Every method that finds what it looks for moves behind it; the text may end anywhere.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Skips everything up to `mark`, and all marks in a row; where numbers stand alone, a digit before any mark is as
    /// good.
    fn skip_to(&mut self, mark: u8, or_digit: bool) -> Option<()> {
        let mut seen = false;
        loop {
            let byte = self.peek()?;
            if byte == mark {
                seen = true;
            } else if seen || or_digit && byte.is_ascii_digit() {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// Decimal digits up to anything else, which must be there; no digits are 0.
    fn number(&mut self, max: u32) -> Option<u32> {
        let mut number = 0;
        loop {
            let byte = self.peek()?;
            if !byte.is_ascii_digit() {
                return Some(number);
            }
            number = number * 10 + u32::from(byte - b'0');
            if number > max {
                return None;
            }
            self.at += 1;
        }
    }

    /// Four numbers of an address and two of a port, with commas between them (RFC 959 section 4.1.2).
    fn six_numbers(&mut self) -> Option<(Addr, u16)> {
        let mut bytes = [0u8; 6];
        for (n, byte) in bytes.iter_mut().enumerate() {
            if n > 0 {
                self.expect(b',')?;
            }
            *byte = u8::try_from(self.number(255)?).ok()?;
        }
        let [a, b, c, d, high, low] = bytes;
        Some((Addr::v4(u32::from_be_bytes([a, b, c, d])), u16::from_be_bytes([high, low])))
    }

    /// What separates the fields of RFC 2428: any printable character.
    fn delimiter(&mut self) -> Option<u8> {
        self.next().filter(u8::is_ascii_graphic)
    }

    /// The number of the family and an address of it, each with a delimiter behind it.
    fn family_and_address(&mut self, family: Family, delimiter: u8) -> Option<Addr> {
        self.expect(family_digit(family))?;
        self.expect(delimiter)?;
        let rest = self.text.get(self.at..)?;
        let len = rest.iter().position(|&byte| byte == delimiter)?;
        let address = address(&rest[..len], family)?;
        self.at += len + 1;
        Some(address)
    }

    /// A port, not 0, with a delimiter behind it.
    fn port(&mut self, delimiter: u8) -> Option<u16> {
        let port = self.number(u32::from(u16::MAX))?;
        self.expect(delimiter)?;
        u16::try_from(port).ok().filter(|&port| port != 0)
    }
}

/// An address in its usual form, with any number of zeros before each number.
fn address(text: &[u8], family: Family) -> Option<Addr> {
    let mut plain = [0u8; 45];
    let mut len = 0;
    let mut fresh = true;
    for (n, &byte) in text.iter().enumerate() {
        let is_leading = fresh && byte == b'0' && text.get(n + 1).is_some_and(u8::is_ascii_hexdigit);
        if !is_leading {
            *plain.get_mut(len)? = byte;
            len += 1;
            fresh = !byte.is_ascii_hexdigit();
        }
    }
    let text = core::str::from_utf8(plain.get(..len)?).ok()?;
    let address = match family {
        Family::V4 => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
        Family::V6 => IpAddr::V6(text.parse::<Ipv6Addr>().ok()?),
    };
    Some(Addr::from_ip(address))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn connects(text: &str, family: Family) -> Option<String> {
        match command(text.as_bytes(), family) {
            Some(Command::Connect(address, port)) => Some(format!("{} {port}", address.to_ip(family))),
            _ => None,
        }
    }

    #[test]
    fn passive_commands_are_found_anywhere_in_a_segment() {
        let (passive, extended) = (Some(Mode::Passive), Some(Mode::ExtendedPassive));
        for (text, expected) in [
            ("PASV\r\n", passive),
            ("pasv\r\n", passive),
            ("NOOP\r\nPASV\r\n", passive),
            ("xPASV\r\nfoo", passive),
            ("EPSV\n\r\nPASV\r\n", passive),
            ("EPSVX\r\nPASV\r\n", passive),
            ("PASV\r\nEPSV\r\n", passive),
            ("EPSV\r\n", extended),
            ("epsv 1\r\n", extended),
            ("xxEPSV\r\n", extended),
            ("EPSV 1\r", extended),
            ("PASV\n", None),
            ("PASV \r\n", None),
            ("PASV\r", None),
            ("EPSV\r", None),
            ("EPSV", None),
            ("EPSV 1", None),
            ("EPSV 1\n", None),
            ("EPSV 12\r\n", None),
            ("EPSV 2\r\n", None),
            ("EPSV 2\r\nPASV\r\n", None),
            ("EPSV ALL\r\n", None),
            ("EPSV1\r\n", None),
            ("NOOP\r\nEPSV", None),
        ] {
            let found = command(text.as_bytes(), Family::V4);
            assert_eq!(found, expected.map(Command::Announce), "{text:?}");
        }
        assert_eq!(command(b"EPSV 2\r\n", Family::V6), extended.map(Command::Announce));
        assert_eq!(command(b"EPSV 1\r\n", Family::V6), None);
        assert_eq!(command(b"PASV\r\n", Family::V6), None);
    }

    #[test]
    fn six_numbers_are_read_as_the_kernel_reads_them() {
        for (text, expected) in [
            ("PORT 198,51,100,7,199,56\r\n", Some("198.51.100.7 51000")),
            ("port 198,51,100,7,199,57\r\n", Some("198.51.100.7 51001")),
            ("PORT   198,51,100,7,199,58\r\n", Some("198.51.100.7 51002")),
            ("PORT198,51,100,7,199,59\r\n", Some("198.51.100.7 51003")),
            ("PORT\t198,51,100,7,199,61\r\n", Some("198.51.100.7 51005")),
            ("PORTX198,51,100,7,199,74\r\n", Some("198.51.100.7 51018")),
            ("PORT 198,51,100,7,199,66,9\r\n", Some("198.51.100.7 51010")),
            ("PORT 198,51,,7,199,68\r\n", Some("198.51.0.7 51012")),
            ("PORT 198,51,0100,007,199,69\r\n", Some("198.51.100.7 51013")),
            ("PORT 198,51,100,7,200,\r\n", Some("198.51.100.7 51200")),
            ("PORT ,,,,,\r\n", Some("0.0.0.0 0")),
            ("PORT 198,51,100,7,199,62", None),
            ("PORT x 198,51,100,7,199,60\r\n", None),
            (" PORT 198,51,100,7,199,64\r\n", None),
            ("PORT 198,51,256,7,199,70\r\n", None),
            ("PORT 198.51.100.7,199,71\r\n", None),
            ("PORT 198, 51,100,7,199,73\r\n", None),
            ("PORT (198,51,100,7,199,76)\r\n", None),
            ("PORT 198,51,100,7,200\r\n", None),
            ("PORT\r\n", None),
        ] {
            assert_eq!(connects(text, Family::V4).as_deref(), expected, "{text:?}");
        }
        assert_eq!(connects("PORT 198,51,100,7,9,3\r\n", Family::V6), None);
    }

    #[test]
    fn extended_ports_are_read_as_the_kernel_reads_them() {
        for (text, expected) in [
            ("EPRT |1|198.51.100.7|51000|\r\n", Some("198.51.100.7 51000")),
            ("eprt  |1|198.51.100.7|51002|", Some("198.51.100.7 51002")),
            ("EPRT !1!198.51.100.7!51004!\r\n", Some("198.51.100.7 51004")),
            ("EPRT |1|198.51.100.007|051009|\r\n", Some("198.51.100.7 51009")),
            ("EPRT|1|198.51.100.7|51003|\r\n", None),
            ("EPRT x |1|198.51.100.7|51005|\r\n", None),
            ("EPRT |2|198.51.100.7|51006|\r\n", None),
            ("EPRT |1|198.51.100.7|51007\r\n", None),
            ("EPRT |1|198.51..7|51010|\r\n", None),
            ("EPRT |1||51012|\r\n", None),
            ("EPRT |1|198.51.100.7 |51016|\r\n", None),
            ("EPRT .1.198.51.100.7.51023.\r\n", None),
            ("EPRT \x7f1\x7f198.51.100.7\x7f51024\x7f\r\n", None),
            ("EPRT |1|198.51.100.7|0|\r\n", None),
            ("EPRT |1|198.51.100.7|65536|\r\n", None),
        ] {
            assert_eq!(connects(text, Family::V4).as_deref(), expected, "{text:?}");
        }
        for (text, expected) in [
            ("EPRT |2|2001:DB8:9:0:0:0:0:7|52001|\r\n", Some("2001:db8:9::7 52001")),
            ("EPRT |2|::ffff:1.2.3.4|52005|\r\n", Some("::ffff:1.2.3.4 52005")),
            ("EPRT |2|2001:db8:9::00007|52006|\r\n", Some("2001:db8:9::7 52006")),
            ("EPRT |2|1:2:3:4:5:6:7::|52017|\r\n", Some("1:2:3:4:5:6:7:0 52017")),
            ("EPRT |1|198.51.100.7|52002|\r\n", None),
            ("EPRT |2|2001:db8:9:::7|52004|\r\n", None),
            ("EPRT |2|1:2:3:4:5:6:7|52015|\r\n", None),
        ] {
            assert_eq!(connects(text, Family::V6).as_deref(), expected, "{text:?}");
        }
    }

    fn server(family: Family) -> Addr {
        Addr::from_ip(if family == Family::V4 { "10.0.0.7" } else { "fd00::7" }.parse().unwrap())
    }

    fn announces(text: &str, mode: Mode, family: Family) -> Option<(String, &str)> {
        let found = announcement(text.as_bytes(), mode, family, server(family))?;
        Some((format!("{} {}", found.address.to_ip(family), found.port), &text[found.span]))
    }

    #[test]
    fn the_answer_to_pasv_is_found_in_many_forms() {
        for (text, expected) in [
            ("227 Passive (10,0,200,101,199,56).\r\n", Some(("10.0.200.101 51000", "10,0,200,101,199,56"))),
            ("227 ok =10,0,200,101,199,57\r\n", Some(("10.0.200.101 51001", "10,0,200,101,199,57"))),
            ("227 ((10,0,200,101,199,60))\r\n", Some(("10.0.200.101 51004", "10,0,200,101,199,60"))),
            ("227 (010,000,,101,199,074)\r\n", Some(("10.0.0.101 51018", "010,000,,101,199,074"))),
            ("227 (1,1,1,1,1,1) 10,0,0,1,1,2\r\n", Some(("1.1.1.1 257", "1,1,1,1,1,1"))),
            ("227 Entering 2nd mode (10,0,200,101,199,59)\r\n", None),
            ("227 ( 10,0,200,101,199,61)\r\n", None),
            ("227 () 10,0,200,101,199,62)\r\n", None),
            ("227-x\r\n227 (10,0,200,101,199,63)\r\n", None),
            ("227 (10,0,200,101,199,64", None),
            ("227(10,0,200,101,199,66)\r\n", None),
            ("226 ok (10,0,200,101,199,77)\r\n", None),
            ("229 (10,0,200,101,199,81)\r\n", None),
        ] {
            let expected = expected.map(|(end, span)| (end.to_string(), span));
            assert_eq!(announces(text, Mode::Passive, Family::V4), expected, "{text:?}");
        }
        assert_eq!(announces("227 (10,0,0,7,1,1)\r\n", Mode::Active, Family::V4), None);
        assert_eq!(announces("227 (10,0,0,7,1,1)\r\n", Mode::ExtendedPassive, Family::V4), None);
    }

    #[test]
    fn the_answer_to_epsv_is_found_in_many_forms() {
        for (text, expected) in [
            ("229 1st Passive (|||51000|)\r\n", Some(("10.0.0.7 51000", "|||51000|"))),
            ("229 x(!!!51002!)\r\n", Some(("10.0.0.7 51002", "!!!51002!"))),
            ("229 (|1|10.0.0.8|051007|)\r\n", Some(("10.0.0.8 51007", "|1|10.0.0.8|051007|"))),
            ("229 ((|||51008|))\r\n", Some(("10.0.0.7 51008", "|||51008|"))),
            ("229 (|||51011|", Some(("10.0.0.7 51011", "|||51011|"))),
            ("229 |||51001|\r\n", None),
            ("229 (|1||51003|)\r\n", None),
            ("229 (||10.0.0.7|51004|)\r\n", None),
            ("229 (|2|fd00::7|51006|)\r\n", None),
            ("229 ( |||51009|)\r\n", None),
            ("229 (|||51010)\r\n", None),
            ("229 (||51017|)\r\n", None),
            ("229 (111510181)\r\n", None),
            ("229 () (|||51020|)\r\n", None),
            ("229 (|||0|)\r\n", None),
            ("229 (||||)\r\n", None),
        ] {
            let expected = expected.map(|(end, span)| (end.to_string(), span));
            assert_eq!(announces(text, Mode::ExtendedPassive, Family::V4), expected, "{text:?}");
        }
        let expected = Some(("fd00::8 51003".to_string(), "|2|fd00::8|51003|"));
        assert_eq!(announces("229 (|2|fd00::8|51003|)\r\n", Mode::ExtendedPassive, Family::V6), expected);
    }

    #[test]
    fn announcements_are_written_without_zeros_and_addresses() {
        let longest = announce(Mode::Passive, Addr::v4(u32::MAX), u16::MAX);
        assert_eq!(longest.as_bytes(), b"255,255,255,255,255,255");
        assert_eq!(announce(Mode::Passive, Addr::v4(0xc000_020a), 0x0107).as_bytes(), b"192,0,2,10,1,7");
        assert_eq!(announce(Mode::ExtendedPassive, Addr::UNSPECIFIED, 65535).as_bytes(), b"|||65535|");
    }

    /// Texts that are nearly right: words of both parsers, and anything between them.
    fn payloads() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "PASV\r\n",
            "EPSV",
            "EPSV 1\r\n",
            "EPSV 2\r\n",
            "PORT ",
            "EPRT ",
            "227 ",
            "229 ",
            "(",
            "|",
            "||",
            "|1|",
            "|2|",
            "10,0,0,7,",
            "199,56",
            "10.0.0.7",
            "fd00::7",
            "51000",
            ")",
            "\r\n",
            " ",
            ",",
            "0",
        ];
        let word = prop_oneof![
            4 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn whatever_the_text_what_is_found_stands_in_it(payload in payloads(), v6: bool) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let _ = command(&payload, family);
            for mode in [Mode::Active, Mode::Passive, Mode::ExtendedPassive] {
                if let Some(found) = announcement(&payload, mode, family, server(family)) {
                    prop_assert!(found.span.start >= 4 && found.span.end <= payload.len());
                    prop_assert!(found.span.len() >= 5);
                }
            }
        }

        #[test]
        fn what_is_announced_can_be_read_again(address: u32, port in 1u16.., text in "[a-z ]{0,20}") {
            for (mode, code) in [(Mode::Passive, "227"), (Mode::ExtendedPassive, "229")] {
                let written = announce(mode, Addr::v4(address), port);
                let line = format!("{code} {text}({})\r\n", core::str::from_utf8(written.as_bytes()).unwrap());
                let found = announcement(line.as_bytes(), mode, Family::V4, Addr::v4(address)).unwrap();
                prop_assert_eq!((found.address, found.port), (Addr::v4(address), port));
                prop_assert_eq!(&line.as_bytes()[found.span], written.as_bytes());
            }
        }
    }
}
