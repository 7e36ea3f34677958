//! An index read over one that is known: what says the same, word for word, is taken over and not read.
//!
//! Of the thousands of entries of an index a commit changes few. Knows only texts as [`Index::to_json`] writes them; of any other it says
//! nothing, and the reader of JSON decides. Invariant: what is returned is what `Index::parse` returns, and its text is the given one.

use std::collections::BTreeMap;

use serde_json::Deserializer;
use smol_str::format_smolstr;

use super::{Entry, FORMAT, Index};
use crate::object::is_dns_label;

/// What follows the last entry.
const END: &[u8] = b"\n  }\n}\n";

/// What comes before the first entry.
fn head(environment: &str) -> String {
    format!("{{\n  \"environment\": \"{environment}\",\n  \"format\": {FORMAT},\n  \"services\": {{\n")
}

/// Reads an index whose text is as we write it; nothing: it is not, or holds no service.
pub(super) fn read(text: &[u8], environment: &str, known: &Index) -> Option<Index> {
    let mut rest = text.strip_prefix(head(environment).as_bytes()).filter(|_| is_dns_label(environment))?;
    let mut entries = known.services.iter().peekable();
    let (mut others, mut gone): (Vec<(&str, Entry)>, Vec<&String>) = (Vec::new(), Vec::new());
    let mut last = "";
    loop {
        let (name, after) = name(rest)?;
        if name <= last {
            return None;
        }
        last = name;
        gone.extend(std::iter::from_fn(|| entries.next_if(|(before, _)| before.as_str() < name)).map(|(name, _)| name));
        let same = entries
            .next_if(|(before, _)| *before == name)
            .and_then(|(_, entry)| says(after, entry).or_else(|| rest.strip_prefix(written(name, entry).as_bytes())));
        let after = match same {
            Some(after) => after,
            None => {
                let (entry, after) = one(rest, after, name)?;
                others.push((name, entry));
                after
            }
        };
        rest = match after.strip_prefix(b",\n") {
            Some(next) => next,
            None if after == END => break,
            None => return None,
        };
    }
    gone.extend(entries.map(|(name, _)| name));
    let mut services = known.services.clone();
    gone.into_iter().for_each(|name| drop(services.remove(name)));
    services.extend(others.into_iter().map(|(name, entry)| (name.to_owned(), entry)));
    Some(Index { environment: environment.to_owned(), services })
}

/// Reads the name of a service. Returns it with what follows its colon.
fn name(text: &[u8]) -> Option<(&str, &[u8])> {
    let text = text.strip_prefix(b"    \"")?;
    let length = text.iter().position(|byte| *byte == b'"')?;
    let (name, text) = text.split_at(length);
    let name = std::str::from_utf8(name).ok().filter(|name| is_dns_label(name))?;
    Some((name, text.strip_prefix(b"\": ")?))
}

/// Returns what follows an entry, if the text begins with it, word for word, without writing it. Of one with settings of its own, or with text that
/// JSON writes otherwise, it says nothing.
fn says<'a>(text: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
    // All fields, so that a new one is not forgotten here.
    let Entry { content, inputs, objects, sync, version, chart } = entry;
    if !sync.is_default() || !is_plain(version) || !is_plain(chart) {
        return None;
    }
    let text = content.strip_from(text.strip_prefix(b"{\n      \"content\": \"")?)?;
    let text = inputs.strip_from(text.strip_prefix(b"\",\n      \"inputs\": \"")?)?;
    let text = text.strip_prefix(b"\",\n      \"objects\": ")?.strip_prefix(format_smolstr!("{objects}").as_bytes())?;
    let text = text.strip_prefix(b",\n      \"version\": \"")?.strip_prefix(version.as_bytes())?;
    let text = text.strip_prefix(b"\",\n      \"chart\": \"")?.strip_prefix(chart.as_bytes())?;
    text.strip_prefix(b"\"\n    }")
}

/// Tells whether a text is the same in JSON.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// Reads an entry that is not known, if it is written as we write it. `from` begins with the name, `value` after it. Returns it with what follows.
fn one<'a>(from: &[u8], value: &'a [u8], name: &str) -> Option<(Entry, &'a [u8])> {
    let mut reader = Deserializer::from_slice(value).into_iter::<Entry>();
    let entry = reader.next()?.ok()?;
    let after = &value[reader.byte_offset()..];
    (from.strip_prefix(written(name, &entry).as_bytes())?.len() == after.len()).then_some((entry, after))
}

/// Returns an entry with its name as an index has it.
fn written(name: &str, entry: &Entry) -> String {
    let alone = Index { environment: String::new(), services: BTreeMap::from([(name.to_owned(), entry.clone())]) };
    let mut text = alone.to_json();
    text.truncate(text.len() - END.len());
    text.split_off(head("").len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use crate::index::Sync;

    fn index(versions: &[(&str, &str)]) -> Index {
        let entry = |version: &str| Entry {
            content: Hash::of(version.as_bytes()),
            inputs: Hash::of(b"inputs"),
            objects: 3,
            sync: if version == "3" { Sync { wave: 1, ..Sync::default() } } else { Sync::default() },
            version: version.into(),
            chart: "generic".into(),
        };
        let services = versions.iter().map(|(name, version)| ((*name).to_owned(), entry(version)));
        Index { environment: "staging".to_owned(), services: services.collect() }
    }

    #[test]
    fn what_we_write_needs_no_other_reader() {
        let known = index(&[("b", "1"), ("c", "2"), ("d", "3"), ("e", "\"")]);
        let after = [
            index(&[("b", "1"), ("c", "2"), ("d", "3"), ("e", "\"")]),
            index(&[("b", "1"), ("c", "3"), ("d", "3"), ("e", "1")]),
            index(&[("a", "1"), ("b", "1"), ("bc", "9"), ("e", "\""), ("f", "1")]),
            index(&[("x", "7")]),
        ];
        for after in after {
            assert_eq!(read(after.to_json().as_bytes(), "staging", &known).as_ref(), Some(&after));
        }
    }

    #[test]
    fn any_other_text_is_left_to_the_reader_of_json() {
        let known = index(&[("b", "1"), ("c", "2")]);
        let text = known.to_json();
        let entry = &text[text.find("    \"b\"").expect("it is there")..text.find("    \"c\"").expect("it is there")];
        let others = [
            text.trim_end().to_owned(),
            text.replace("  \"format\": 1,\n", ""),
            text.replace("\"version\": \"2\"", "\"version\":  \"2\""),
            text.replace("\"version\": \"2\"", "\"version\": \"\\u0032\""),
            text.replace("\"objects\": 3", "\"objects\": 03"),
            text.replace("    \"c\"", &format!("{entry}    \"c\"")),
            text.replace("    \"b\"", "    \"d\""),
            text.replace("    \"b\"", "    \"B\""),
            index(&[]).to_json(),
        ];
        for other in others {
            assert_eq!(read(other.as_bytes(), "staging", &known), None, "{other}");
        }
        assert_eq!(read(text.as_bytes(), "production", &known), None);
    }
}
