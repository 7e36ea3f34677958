//! JSON as Go's `encoding/json` reads it, with its errors.
//!
//! The whole text is checked before any of it counts, the last of several equal keys wins, numbers are floats, and text that is not
//! UTF-8 is repaired. Source: Go 1.26 `encoding/json/{scanner,decode}.go`.

use crate::gotemplate::print::quote;
use crate::value::{Map, Str, Value};

/// Lists and maps inside each other at most. Go allows 10,000; no walk over values here goes so deep.
const DEPTH_MAX: usize = crate::value::MAX_DEPTH - 2;

/// What a text holds.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    /// The first number that is no float, in Go's words; null stands in its place.
    pub(crate) wrong: Option<String>,
}

/// Reads one document.
pub(crate) fn read(text: &[u8]) -> Result<Document, String> {
    let mut reader = Reader { text, at: 0, too_large: None };
    let value = reader.value(0)?;
    reader.blank();
    if let Some(byte) = reader.peek() {
        return Err(unexpected(byte, "after top-level value"));
    }
    let too_large = |number| format!("json: cannot unmarshal number {number} into Go value of type float64");
    Ok(Document { value, wrong: reader.too_large.map(too_large) })
}

/// Returns Go's error for a document that is not of the type asked for.
pub(crate) fn misfit(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Nil => "null",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

const END: &str = "unexpected end of JSON input";

fn unexpected(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = quote(char::from(byte).to_string().as_bytes());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    format!("invalid character {shown} {context}")
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// The first number that is no float: an error, but only once the whole text has been checked.
    too_large: Option<String>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    /// Inside of a token Go takes the end of the text for a blank.
    fn next_in_token(&mut self) -> u8 {
        let byte = self.peek().unwrap_or(b' ');
        self.at += 1;
        byte
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        self.blank();
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::from),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Nil),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, text: &str, value: Value) -> Result<Value, String> {
        for expected in text.bytes().skip(1) {
            let byte = self.next_in_token();
            if byte != expected {
                return Err(unexpected(byte, &format!("in literal {text} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        let map = Map::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.blank();
            match self.next()? {
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            self.blank();
            match self.next()? {
                b':' => {}
                byte => return Err(unexpected(byte, "after object key")),
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            self.blank();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Value::Map(map)),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blank();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Value::list(items)),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn digit(&mut self, context: &str) -> Result<(), String> {
        match self.next_in_token() {
            byte if byte.is_ascii_digit() => Ok(()),
            byte => Err(unexpected(byte, context)),
        }
    }

    fn number(&mut self, first: u8) -> Result<Value, String> {
        let start = self.at - 1;
        let first = if first == b'-' {
            self.digit("in numeric literal")?;
            self.text[self.at - 1]
        } else {
            first
        };
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let number: f64 = text.parse().map_err(|_| END)?;
        if number.is_infinite() {
            self.too_large.get_or_insert(text);
            return Ok(Value::Nil);
        }
        Ok(Value::Float(number))
    }

    /// Reads the rest of a string; the opening quote is gone.
    fn string(&mut self) -> Result<Str, String> {
        let start = self.at;
        // Most strings hold nothing special.
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let text = Str::from(&self.text[start..self.at]);
                    self.at += 1;
                    return Ok(repaired(text));
                }
                b'\\' | 0..=0x1f => break,
                _ => self.at += 1,
            }
        }
        let mut out = self.text[start..self.at].to_vec();
        loop {
            match self.next()? {
                b'"' => return Ok(repaired(Str::from(out))),
                b'\\' => self.escape(&mut out)?,
                byte @ 0..=0x1f => return Err(unexpected(byte, "in string literal")),
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let byte = self.next_in_token();
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.code_point()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(unexpected(byte, "in string escape code")),
        });
        Ok(())
    }

    /// Reads `XXXX`, and the second half of a pair where one follows; half a pair is U+FFFD.
    fn code_point(&mut self) -> Result<char, String> {
        let first = self.four()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.four()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // The second stands for itself.
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next_in_token();
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| unexpected(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }
}

fn repaired(text: Str) -> Str {
    if text.as_str().is_some() { text } else { Str::from(text.to_str_lossy()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_the_words_of_go() {
        let cases = [
            ("", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{", "unexpected end of JSON input"),
            ("{a", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1", "invalid character '1' after object key"),
            ("{\"a\":1 2", "invalid character '2' after object key:value pair"),
            ("[1 2", "invalid character '2' after array element"),
            ("1 2", "invalid character '2' after top-level value"),
            ("tru3", "invalid character '3' in literal true (expecting 'e')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("tru", "invalid character ' ' in literal true (expecting 'e')"),
            ("'", "invalid character '\\'' looking for beginning of value"),
            ("01", "invalid character '1' after top-level value"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()).map(|_| ()), Err(expected.to_owned()), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(deep.as_bytes()).map(|_| ()), Err("exceeded max depth".to_owned()));
        let number = read(b"[1e999]").expect("a document").wrong;
        assert_eq!(number.as_deref(), Some("json: cannot unmarshal number 1e999 into Go value of type float64"));
        let text = read(r#""\ud83d\ude00 \ud83d \u00e9""#.as_bytes()).expect("text").value;
        assert_eq!(text.as_string().expect("text").to_string(), "😀 \u{fffd} é");
    }
}
