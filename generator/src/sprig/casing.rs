//! `camelcase`, `snakecase`, `kebabcase`.
//!
//! Words are found by what their letters are, with rules of their own for numbers. Source: huandu/xstrings v1.5.0 `convert.go`.

use super::Outcome;
use super::unicode::{is_letter, is_number, is_punctuation, is_upper, to_lower, to_upper};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Str, Value};

pub(super) fn camelcase(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(pascal(&chars(args)?)))
}

pub(super) fn snakecase(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(joined(&chars(args)?, '_')))
}

pub(super) fn kebabcase(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(joined(&chars(args)?, '-')))
}

fn chars(args: &[Value]) -> Result<Vec<char>, FunctionError> {
    match args {
        [Value::String(text)] => Ok(Str::to_str_lossy(text).chars().collect()),
        _ => Err(FunctionError::shape()),
    }
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// A letter of a script that has words; Chinese, Japanese and Korean letters stand alone.
fn is_alphabet(c: char) -> bool {
    is_letter(c) && !matches!(c, '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}

/// Upper-cases what follows a connector and drops the connector; those in front stay.
fn pascal(text: &[char]) -> String {
    let mut out = String::new();
    let lead = text.iter().take_while(|c| is_connector(**c)).count();
    out.extend(&text[..lead]);
    let Some((&first, rest)) = text[lead..].split_first() else {
        // Upstream writes the last of nothing but connectors twice.
        out.extend(text.last());
        return out;
    };
    let mut in_capitals = is_upper(first);
    let mut current = to_upper(first);
    for &next in rest {
        let previous = std::mem::replace(&mut current, next);
        if is_connector(next) && is_connector(previous) {
            out.push(previous);
            continue;
        }
        if is_connector(previous) {
            in_capitals = is_upper(next);
            current = to_upper(next);
        } else {
            if in_capitals {
                if is_upper(next) {
                    current = to_lower(next);
                } else {
                    in_capitals = false;
                }
            }
            out.push(previous);
        }
    }
    out.push(current);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

/// Splits off the next word.
fn next_word(text: &[char]) -> (Kind, &[char], &[char]) {
    let Some(&first) = text.first() else { return (Kind::None, &[], &[]) };
    let run = |from: usize, is: &dyn Fn(char) -> bool| from + text[from..].iter().take_while(|c| is(**c)).count();
    let is_small = |c: char| is_alphabet(c) && !is_upper(c);
    let (kind, end) = if is_connector(first) {
        (Kind::Connector, run(0, &is_connector))
    } else if is_punctuation(first) {
        (Kind::Punctuation, run(0, &is_punctuation))
    } else if is_upper(first) {
        let capitals = run(0, &is_upper);
        let end = match text.get(capitals) {
            // The last of several capitals begins the word that follows.
            Some(c) if capitals > 1 && is_alphabet(*c) => capitals - 1,
            Some(c) if capitals == 1 && is_alphabet(*c) => run(1, &is_small),
            _ => capitals,
        };
        (Kind::Upper, end)
    } else if is_alphabet(first) {
        (Kind::Alphabet, run(0, &is_small))
    } else if is_number(first) {
        (Kind::Number, run(0, &is_number))
    } else {
        let is_other = |c: char| !(is_connector(c) || is_alphabet(c) || is_number(c) || is_punctuation(c));
        (Kind::Other, run(1, &is_other))
    };
    let (word, rest) = text.split_at(end);
    (kind, word, rest)
}

struct Joiner<'t> {
    out: String,
    connector: char,
    kind: Kind,
    word: &'t [char],
    rest: &'t [char],
}

/// Writes words in lower case with a connector between them.
fn joined(text: &[char], connector: char) -> String {
    let (kind, word, rest) = next_word(text);
    let mut joiner = Joiner { out: String::new(), connector, kind, word, rest };
    while !joiner.rest.is_empty() {
        joiner.step();
    }
    joiner.write();
    joiner.out
}

impl Joiner<'_> {
    fn advance(&mut self) {
        (self.kind, self.word, self.rest) = next_word(self.rest);
    }

    fn write(&mut self) {
        if !matches!(self.kind, Kind::Upper | Kind::Connector) {
            self.out.extend(self.word);
            return;
        }
        let connector = self.connector;
        self.out.extend(self.word.iter().map(|&c| if is_connector(c) { connector } else { to_lower(c) }));
    }

    /// Writes words and numbers that belong together.
    fn write_run(&mut self) {
        while matches!(self.kind, Kind::Alphabet | Kind::Number) {
            self.write();
            self.advance();
        }
    }

    fn connect_unless(&mut self, ends: &[Kind]) {
        if !ends.contains(&self.kind) {
            self.out.push(self.connector);
        }
    }

    fn step(&mut self) {
        const SEPARATE: [Kind; 2] = [Kind::Connector, Kind::Punctuation];
        const ENDS: [Kind; 3] = [Kind::None, Kind::Connector, Kind::Punctuation];
        if self.kind != Kind::Connector {
            self.write();
        }
        let (previous, last) = (self.kind, self.word);
        self.advance();
        match previous {
            Kind::Number => {
                self.write_run();
                self.connect_unless(&ENDS);
            }
            Kind::Connector => self.out.extend(last.iter().map(|_| self.connector)),
            Kind::Punctuation => {}
            _ if self.kind != Kind::Number => self.connect_unless(&SEPARATE),
            _ if self.rest.is_empty() => {}
            _ => {
                let number = self.word;
                self.advance();
                if self.kind == Kind::Alphabet {
                    self.out.push(self.connector);
                    self.out.extend(number);
                    self.write_run();
                    self.connect_unless(&ENDS);
                } else {
                    self.out.extend(number);
                    self.connect_unless(&SEPARATE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let of = |text: &str| text.chars().collect::<Vec<char>>();
        let cases = [
            ("FirstName", "first_name", "FirstName"),
            ("HTTPServer", "http_server", "Httpserver"),
            ("NoHTTPS", "no_https", "NoHTTPS"),
            ("GO_PATH", "go_path", "GoPath"),
            ("GO PATH", "go_path", "GoPath"),
            ("http2xx", "http_2xx", "Http2xx"),
            ("_x__y", "_x__y", "_X_Y"),
            ("", "", ""),
        ];
        for (text, snake, camel) in cases {
            assert_eq!(joined(&of(text), '_'), snake, "{text}");
            assert_eq!(pascal(&of(text)), camel, "{text}");
        }
    }
}
