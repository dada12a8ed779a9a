//! Words of a line, each character with its column, so that an error can point at any part of a word.
//!
//! Words are what the shell would make of the line: blanks separate them, quotes keep blanks in them and allow the
//! empty word (`-s ''`). There is no other expansion.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::str::SplitAsciiWhitespace;

use crate::error::RuleError;

/// A word of a line, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    /// Without quotes.
    text: &'a str,
    /// The column of the first character, from 1, or where it would stand.
    column: u32,
    /// The column of each character, if they do not stand side by side.
    columns: &'a [u32],
}

impl<'a> Word<'a> {
    /// The word without its quotes.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
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
        let text = &self.text[at(chars.start)..at(chars.end)];
        let end = chars.end.min(self.columns.len());
        let columns = self.columns.get(chars.start..end).unwrap_or_default();
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
        let text = if self.text.is_empty() { "''" } else { self.text };
        refusal(self.column(), String::from(text), expected)
    }
}

/// A word is missing at `column`, one past the end of the line.
pub(crate) fn missing(column: u32, expected: impl Into<String>) -> RuleError {
    refusal(column, String::new(), expected)
}

/// A line whose words are known.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    text: &'a str,
    /// The words of a line with quotes, or with characters of several bytes. Those of any other are pieces of it.
    put_together: Option<Vec<PutTogether>>,
}

/// A word, character by character.
#[derive(Debug, Default)]
pub(crate) struct PutTogether {
    text: String,
    column: u32,
    columns: Vec<u32>,
}

impl PutTogether {
    fn new(column: u32) -> Self {
        Self { column, ..Self::default() }
    }

    fn push(&mut self, c: char, column: u32) {
        if self.columns.is_empty() {
            self.column = column;
        }
        self.text.push(c);
        self.columns.push(column);
    }
}

/// Splits a line into words.
pub(crate) fn split(line: &str) -> Result<Split<'_>, RuleError> {
    // Without a branch for each byte: most lines are seen to be plain in a few steps.
    if line.bytes().fold(true, |is_plain, byte| is_plain & byte.is_ascii() & (byte != b'\'') & (byte != b'"')) {
        return Ok(Split { text: line, put_together: None });
    }
    let mut words = Vec::new();
    let mut word: Option<PutTogether> = None;
    let mut quote: Option<(char, u32)> = None;
    for (c, column) in line.chars().zip(1..) {
        match quote {
            Some((open, _)) if c == open => quote = None,
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            None if c == '\'' || c == '"' => {
                quote = Some((c, column));
                word.get_or_insert_with(|| PutTogether::new(column));
            }
            _ => word.get_or_insert_with(|| PutTogether::new(column)).push(c, column),
        }
    }
    if let Some((open, column)) = quote {
        let rest = line.chars().skip(column as usize - 1).collect();
        return Err(refusal(column, rest, alloc::format!("another {open} before the end of the line")));
    }
    words.extend(word);
    Ok(Split { text: line, put_together: Some(words) })
}

impl Split<'_> {
    /// The words from the first on.
    pub(crate) fn words(&self) -> Words<'_> {
        match &self.put_together {
            None => Words::Pieces(self.text, self.text.split_ascii_whitespace()),
            Some(words) => Words::PutTogether(words.iter()),
        }
    }

    /// The column one past the end of the line.
    pub(crate) fn past_end(&self) -> u32 {
        past_end(self.text)
    }
}

/// Goes through the words of a line.
#[derive(Clone, Debug)]
pub(crate) enum Words<'a> {
    Pieces(&'a str, SplitAsciiWhitespace<'a>),
    PutTogether(core::slice::Iter<'a, PutTogether>),
}

impl Words<'_> {
    /// The next word, if this is true of it.
    pub(crate) fn next_if(&mut self, is_wanted: impl FnOnce(&str) -> bool) -> Option<<Self as Iterator>::Item> {
        let mut ahead = self.clone();
        let word = ahead.next().filter(|word| is_wanted(word.text()))?;
        *self = ahead;
        Some(word)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        match self {
            Self::Pieces(line, words) => {
                let text = words.next()?;
                let before = text.as_ptr().addr() - line.as_ptr().addr();
                let column = u32::try_from(before).map_or(u32::MAX, |before| before.saturating_add(1));
                Some(Word { text, column, columns: &[] })
            }
            Self::PutTogether(words) => {
                words.next().map(|word| Word { text: &word.text, column: word.column, columns: &word.columns })
            }
        }
    }
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
        split(line).unwrap().words().map(|word| (word.column(), String::from(word.text()))).collect()
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
        let line = split("-b a,,bc").unwrap();
        let word = line.words().nth(1).unwrap();
        let parts: Vec<_> = word.parts(',').iter().map(|part| (part.column(), String::from(part.text()))).collect();
        assert_eq!(parts, [(4, "a".into()), (7, "bc".into())]);
        assert_eq!((word.skip(3).column(), word.skip(3).text()), (7, "bc"));
        assert_eq!((word.skip(9).column(), word.skip(9).text()), (9, ""));
    }
}
