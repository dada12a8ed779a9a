//! Words of a line, each character with its column, so that an error can point at any part of a word.
//!
//! Words are what the shell would make of the line: blanks separate them, quotes keep blanks in them and allow the
//! empty word (`-s ''`). There is no other expansion.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::RuleError;

/// A word of a line, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Word<'a> {
    /// A piece of the line, or what quotes have put together.
    text: Cow<'a, str>,
    /// The column of the first character, from 1, or where it would stand.
    column: u32,
    /// The column of each character, if they do not stand side by side.
    columns: Vec<u32>,
}

impl<'a> Word<'a> {
    fn put_together(column: u32) -> Self {
        Self { text: Cow::default(), column, columns: Vec::new() }
    }

    fn push(&mut self, c: char, column: u32) {
        if self.columns.is_empty() {
            self.column = column;
        }
        self.text.to_mut().push(c);
        self.columns.push(column);
    }

    /// The word without its quotes.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The column of the first character.
    pub(crate) const fn column(&self) -> u32 {
        self.column
    }

    /// What is left after the first `count` characters.
    pub(crate) fn skip(&self, count: usize) -> Self {
        self.piece(count..usize::MAX)
    }

    /// The parts between separators, empty ones left out.
    pub(crate) fn parts(&self, separator: char) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        for part in self.text.split(separator) {
            let end = start + part.chars().count();
            parts.push(self.piece(start..end));
            start = end + 1;
        }
        parts.retain(|part| !part.text.is_empty());
        parts
    }

    /// The characters of a range, as far as there are any.
    fn piece(&self, chars: Range<usize>) -> Self {
        let at = |count: usize| self.text.char_indices().nth(count).map_or(self.text.len(), |(at, _)| at);
        let bytes = at(chars.start)..at(chars.end);
        let text = match &self.text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[bytes]),
            Cow::Owned(text) => Cow::Owned(String::from(&text[bytes])),
        };
        let columns = self.columns.iter().skip(chars.start).take(chars.len()).copied().collect();
        Self { text, column: self.column_of(chars.start), columns }
    }

    /// The column of a character, or one past the last.
    fn column_of(&self, count: usize) -> u32 {
        match self.columns.last() {
            Some(last) => self.columns.get(count).copied().unwrap_or(last + 1),
            None => self.column.saturating_add(u32::try_from(count.min(self.text.chars().count())).unwrap_or(u32::MAX)),
        }
    }

    /// This word is wrong; `expected` is what it should have been.
    pub(crate) fn wrong(&self, expected: impl Into<String>) -> RuleError {
        // An empty word in an error means that the line ends too early.
        let text = if self.text.is_empty() { "''" } else { &self.text };
        refusal(self.column(), String::from(text), expected)
    }
}

/// A word is missing at `column`, one past the end of the line.
pub(crate) fn missing(column: u32, expected: impl Into<String>) -> RuleError {
    refusal(column, String::new(), expected)
}

/// The words of a line.
pub(crate) fn split(line: &str) -> Result<Vec<Word<'_>>, RuleError> {
    if line.is_ascii() && !line.contains(['\'', '"']) {
        return Ok(line.split_ascii_whitespace().map(|text| plain(line, text)).collect());
    }
    let mut words = Vec::new();
    let mut word: Option<Word<'_>> = None;
    let mut quote: Option<(char, u32)> = None;
    for (c, column) in line.chars().zip(1..) {
        match quote {
            Some((open, _)) if c == open => quote = None,
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            None if c == '\'' || c == '"' => {
                quote = Some((c, column));
                word.get_or_insert_with(|| Word::put_together(column));
            }
            _ => word.get_or_insert_with(|| Word::put_together(column)).push(c, column),
        }
    }
    if let Some((open, column)) = quote {
        let rest = line.chars().skip(column as usize - 1).collect();
        return Err(refusal(column, rest, alloc::format!("another {open} before the end of the line")));
    }
    words.extend(word);
    Ok(words)
}

/// A piece of a line whose characters are bytes.
fn plain<'a>(line: &'a str, text: &'a str) -> Word<'a> {
    let before = text.as_ptr().addr() - line.as_ptr().addr();
    let column = u32::try_from(before).map_or(u32::MAX, |before| before.saturating_add(1));
    Word { text: Cow::Borrowed(text), column, columns: Vec::new() }
}

/// The column one past the end of a line.
pub(crate) fn past_end(line: &str) -> u32 {
    u32::try_from(line.trim_end_matches(['\r', '\n']).chars().count())
        .map_or(u32::MAX, |length| length.saturating_add(1))
}

fn refusal(column: u32, word: String, expected: impl Into<String>) -> RuleError {
    RuleError { line: 1, column, word, expected: expected.into(), control: None, exit_status: 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(line: &str) -> Vec<(u32, String)> {
        split(line).unwrap().iter().map(|word| (word.column(), String::from(word.text()))).collect()
    }

    #[test]
    fn words_know_their_columns() {
        assert_eq!(seen("  -A \t-t  x:80 "), [(3, "-A".into()), (7, "-t".into()), (11, "x:80".into())]);
        assert_eq!(seen(""), []);
        assert_eq!(seen("é -L"), [(1, "é".into()), (3, "-L".into())]);
    }

    #[test]
    fn quotes_keep_blanks_and_allow_empty_words() {
        assert_eq!(
            seen("-w ' 5' -s \"\" a'b 'c"),
            [(1, "-w".into()), (5, " 5".into()), (9, "-s".into()), (12, "".into()), (15, "ab c".into())]
        );
    }

    #[test]
    fn an_open_quote_is_refused_where_it_opens() {
        let error = split("-A 'x y").unwrap_err();
        assert_eq!((error.column, error.word.as_str()), (4, "'x y"));
    }

    #[test]
    fn parts_keep_their_columns() {
        let word = &split("-b a,,bc").unwrap()[1];
        let parts: Vec<_> = word.parts(',').iter().map(|part| (part.column(), String::from(part.text()))).collect();
        assert_eq!(parts, [(4, "a".into()), (7, "bc".into())]);
        assert_eq!((word.skip(3).column(), word.skip(3).text()), (7, "bc"));
        assert_eq!((word.skip(9).column(), word.skip(9).text()), (9, ""));
    }
}
