//! The Call-ID of a SIP message (RFC 3261 section 20.8): what the persistence engine `sip` keeps a client's server by.
//!
//! Follows: the engine of Linux 6.1.192, which reads messages more narrowly than the RFC. The first line of a payload is
//! the request or status line and is not searched, and a value must end its line: no blanks, no parameters behind it.

use core::ops::Range;

use crate::verdict::DropReason;

/// Longest Call-ID that is kept.
pub(crate) const LONGEST: usize = 255;
/// The name of the header field, and its compact form (RFC 3261 section 7.3.3).
const NAME: &[u8] = b"call-id";
const COMPACT: u8 = b'i';

/// What became of a search from some offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Search {
    /// The bytes of a value.
    Found(Range<usize>),
    /// A header field without a value that could be read, which would have begun there.
    Rejected(usize),
    /// No such header field, or one that ends the search.
    Nothing,
}

/// The Call-ID of a message, `payload` being what a datagram carries.
///
/// # Errors
/// [`DropReason::NotSip`] without a payload, [`DropReason::NoCallId`] if no header field has one,
/// [`DropReason::BadCallId`] if it is longer than 255 bytes or does not end its line.
pub(crate) fn call_id(payload: &[u8]) -> Result<&[u8], DropReason> {
    if payload.is_empty() {
        return Err(DropReason::NotSip);
    }
    let mut start = 0;
    loop {
        match search(payload, start) {
            Search::Found(value) => return complete(payload, value),
            // The search goes on behind where a value should have been, counted from where it began before.
            Search::Rejected(at) if start + at < payload.len() => start += at,
            Search::Rejected(_) | Search::Nothing => return Err(DropReason::NoCallId),
        }
    }
}

/// A value, if it is not too long and its line ends behind it.
fn complete(payload: &[u8], value: Range<usize>) -> Result<&[u8], DropReason> {
    let ends = payload.get(value.end).is_some_and(|&byte| is_line_end(byte));
    match payload.get(value) {
        Some(value) if ends && value.len() <= LONGEST => Ok(value),
        _ => Err(DropReason::BadCallId),
    }
}

/// Looks for the first header field from `start` on.
fn search(payload: &[u8], start: usize) -> Search {
    let mut at = start;
    while at < payload.len() {
        let Some(line) = line_after(payload, at) else { break };
        match name_at(payload, line) {
            // The byte at which a line begins is not looked at again, even if it ends the line: of a blank line that is
            // ended by one byte alone, the next line is missed.
            None => at = line + 1,
            Some(name_end) => return value_behind(payload, name_end),
        }
    }
    Search::Nothing
}

/// Where the next line begins, looking for the end of one from `at` on.
fn line_after(payload: &[u8], at: usize) -> Option<usize> {
    let end = at + payload.get(at..)?.iter().position(|&byte| is_line_end(byte))?;
    let is_pair = payload.get(end..end + 2) == Some(b"\r\n");
    Some(end + if is_pair { 2 } else { 1 })
}

/// Where the name of the header field that begins at `line` ends, if it is a Call-ID's.
fn name_at(payload: &[u8], line: usize) -> Option<usize> {
    let rest = payload.get(line..)?;
    if rest.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
        return Some(line + NAME.len());
    }
    match rest {
        [name, next, ..] if name.eq_ignore_ascii_case(&COMPACT) && !is_letter(*next) => Some(line + 1),
        _ => None,
    }
}

/// The value behind a name, a colon between them.
fn value_behind(payload: &[u8], name_end: usize) -> Search {
    let colon = skip_blanks(payload, name_end);
    if payload.get(colon) != Some(&b':') {
        return Search::Nothing;
    }
    let start = skip_blanks(payload, colon + 1);
    if payload.get(start).is_none_or(|&byte| is_line_end(byte)) {
        return Search::Nothing;
    }
    let Some(first) = word(payload, start) else { return Search::Rejected(start) };
    if payload.get(first) != Some(&b'@') {
        return Search::Found(start..first);
    }
    match word(payload, first + 1) {
        Some(end) => Search::Found(start..end),
        None => Search::Rejected(start),
    }
}

/// The first byte from `at` on that is no blank. A line that goes on after a blank is still the same one, once.
fn skip_blanks(payload: &[u8], at: usize) -> usize {
    let blanks = |at: usize| {
        let rest = payload.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|&&byte| is_blank(byte)).count()
    };
    let at = blanks(at);
    let next = match payload.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => at + 2,
        [b'\r' | b'\n', ..] => at + 1,
        _ => return at,
    };
    if payload.get(next).is_some_and(|&byte| is_blank(byte)) { blanks(next) } else { at }
}

/// The end of the word at `at`; `None` if there is none.
fn word(payload: &[u8], at: usize) -> Option<usize> {
    let len = payload.get(at..)?.iter().take_while(|&&byte| is_word(byte)).count();
    (len > 0).then_some(at + len)
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The kernel takes bytes above 127 for Latin-1.
const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, 0xc0..=0xff) && !matches!(byte, 0xd7 | 0xf7)
}

/// RFC 3261 section 25.1.
const fn is_word(byte: u8) -> bool {
    is_letter(byte) || byte.is_ascii_digit() || is_word_mark(byte)
}

const fn is_word_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'-' | b'.'
            | b'!'
            | b'%'
            | b'*'
            | b'_'
            | b'+'
            | b'`'
            | b'\''
            | b'~'
            | b'('
            | b')'
            | b'<'
            | b'>'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'{'
            | b'}'
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    /// The Call-ID as text, or why there is none.
    fn read(text: &str) -> Result<&str, DropReason> {
        call_id(text.as_bytes()).map(|value| core::str::from_utf8(value).unwrap())
    }

    #[test]
    fn a_message_shows_its_call_id() {
        let message =
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=1\r\nCall-ID: 7@a.example\r\n\r\n";
        assert_eq!(read(message), Ok("7@a.example"));
    }

    #[test]
    fn the_name_has_a_compact_form_and_no_case() {
        for name in ["Call-ID", "call-id", "CALL-ID", "i", "I"] {
            for separator in [":", ": ", " : ", "\t:\t", ":\r\n ", "\r\n : "] {
                assert_eq!(read(&format!("x\r\n{name}{separator}a@b\r\n")), Ok("a@b"), "{name}{separator}");
            }
        }
    }

    #[test]
    fn the_first_line_and_lines_that_go_on_are_not_searched() {
        assert_eq!(read("i: a\r\n\r\n"), Err(DropReason::NoCallId));
        assert_eq!(read("x\r\n i: a\r\n\r\n"), Err(DropReason::NoCallId));
        assert_eq!(read("x\n\ni: a\r\n"), Err(DropReason::NoCallId), "a blank line that one byte ends");
        assert_eq!(read("x\r\n\r\ni: a\r\n"), Ok("a"));
    }

    #[test]
    fn a_name_without_a_colon_ends_the_search() {
        for line in ["i-foo: b", "Call-IDX: b", "i b", "I am", "Call-ID:", "i: "] {
            assert_eq!(read(&format!("x\r\n{line}\r\ni: a\r\n")), Err(DropReason::NoCallId), "{line}");
        }
        assert_eq!(read("x\r\nInfo: b\r\ni: a\r\n"), Ok("a"), "another name");
    }

    #[test]
    fn a_value_must_end_its_line() {
        for line in ["a b", "a ", "a;p", "a@b@c", "a,b", "a@b="] {
            assert_eq!(read(&format!("x\r\ni: {line}\r\ni: c\r\n")), Err(DropReason::BadCallId), "{line}");
        }
        assert_eq!(read("x\r\ni: a"), Err(DropReason::BadCallId), "the message ends with it");
    }

    #[test]
    fn a_value_has_at_most_255_bytes() {
        let long = |n| format!("x\r\ni: {}\r\n", "a".repeat(n));
        assert_eq!(read(&long(255)).map(str::len), Ok(255));
        assert_eq!(read(&long(256)), Err(DropReason::BadCallId));
    }

    #[test]
    fn a_value_that_is_none_is_passed_over_and_after_the_second_one_too_much() {
        assert_eq!(read("x\r\ni: @b\r\ni: c\r\n"), Ok("c"));
        assert_eq!(read("x\r\ni: @b\r\ni: @c\r\ni: d\r\n\r\n"), Err(DropReason::NoCallId));
        assert_eq!(read("x\r\ni: @b\r\ni: @c\r\nCSeq: 1\r\ni: d\r\n\r\n"), Ok("d"));
    }

    /// The same rules, one byte after the other.
    fn naive(text: &[u8]) -> Option<Vec<u8>> {
        let at = |n: usize| text.get(n).copied().unwrap_or(0xff);
        let mut from = 0;
        'search: loop {
            let mut n = from;
            while n < text.len() {
                if at(n) != b'\r' && at(n) != b'\n' {
                    n += 1;
                    continue;
                }
                n += if at(n) == b'\r' && at(n + 1) == b'\n' { 2 } else { 1 };
                let word = text.get(n..n + 7).map(<[u8]>::to_ascii_lowercase);
                let letter = |b: u8| b.is_ascii_alphabetic() || b >= 0xc0 && b != 0xd7 && b != 0xf7;
                let mut value = if word.as_deref() == Some(b"call-id") {
                    n + 7
                } else if matches!(at(n), b'i' | b'I') && n + 1 < text.len() && !letter(at(n + 1)) {
                    n + 1
                } else {
                    n += 1;
                    continue;
                };
                for colon in [true, false] {
                    while matches!(at(value), b' ' | b'\t') && value < text.len() {
                        value += 1;
                    }
                    let end = if at(value) == b'\r' && at(value + 1) == b'\n' { 2 } else { 1 };
                    if matches!(at(value), b'\r' | b'\n') && matches!(at(value + end), b' ' | b'\t') {
                        value += end;
                        while matches!(at(value), b' ' | b'\t') {
                            value += 1;
                        }
                    }
                    if colon {
                        if at(value) != b':' {
                            return None;
                        }
                        value += 1;
                    }
                }
                if value >= text.len() || matches!(at(value), b'\r' | b'\n') {
                    return None;
                }
                let is_word = |b: u8| letter(b) || b.is_ascii_digit() || br#"-.!%*_+`'~()<>:\"/[]?{}"#.contains(&b);
                let mut end = value;
                let mut words = 0;
                for part in 0..2 {
                    let start = end;
                    while end < text.len() && is_word(at(end)) {
                        end += 1;
                    }
                    if end > start {
                        words += 1;
                    } else {
                        words = -9;
                    }
                    if part == 0 && words == 1 && at(end) == b'@' && end < text.len() {
                        end += 1;
                    } else {
                        break;
                    }
                }
                if words < 0 {
                    from += value;
                    if from >= text.len() {
                        return None;
                    }
                    continue 'search;
                }
                let ends = end < text.len() && matches!(at(end), b'\r' | b'\n');
                return (ends && end - value <= 255).then(|| text[value..end].to_vec());
            }
            return None;
        }
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(std::vec![
            "Call-ID",
            "call-id",
            "i",
            "I",
            ":",
            ": ",
            " ",
            "\t",
            "\r\n",
            "\r\n",
            "\n",
            "\r",
            "a",
            "@",
            "@b",
            "x: y",
            "-",
            "{}",
            ",",
            ";p",
            "Call-ID: ",
            "\r\ni: ",
            "C7@h\r\n",
        ]);
        prop_oneof![12 => known.prop_map(|piece| piece.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 1..3)]
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_rules_taken_one_byte_after_the_other(pieces in prop::collection::vec(pieces(), 0..24)) {
            let text = pieces.concat();
            prop_assert_eq!(call_id(&text).ok().map(<[u8]>::to_vec), naive(&text));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(call_id(&text).ok().map(<[u8]>::to_vec), naive(&text));
        }
    }
}
