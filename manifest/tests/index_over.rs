//! Laws of reading an index over one that is known: it says what reading it alone says, whatever the text and whatever is known.

use std::collections::BTreeMap;

use manifest::index::{DriftPolicy, Entry, OnFailure, Sync};
use manifest::{Hash, Index};
use proptest::prelude::*;

const ENVIRONMENT: &str = "staging";

fn entry() -> impl Strategy<Value = Entry> {
    let text = prop_oneof![
        Just("1.0"),
        Just("1.1"),
        Just(""),
        Just("a\"b"),
        Just("a\\u0041"),
        Just("a\nb"),
        Just("ü, }\n    },"),
    ];
    let sync = prop_oneof![
        4 => Just(Sync::default()),
        1 => (0..3_i32).prop_map(|wave| Sync { wave, ..Sync::default() }),
        1 => Just(Sync { drift: Some(DriftPolicy::Report), on_failure: OnFailure::Rollback, ..Sync::default() }),
        1 => Just(Sync { depends_on: vec!["a".to_owned(), "b".to_owned()], ..Sync::default() }),
    ];
    (0..3_u8, 0..3_u8, prop_oneof![Just(0_usize), Just(7), Just(10), Just(100)], sync, text.clone(), text).prop_map(
        |(content, inputs, objects, sync, version, chart)| Entry {
            content: Hash::of(&[content]),
            inputs: Hash::of(&[inputs]),
            objects,
            sync,
            version: version.into(),
            chart: chart.into(),
        },
    )
}

fn index() -> impl Strategy<Value = Index> {
    let names = prop_oneof![Just("a"), Just("ab"), Just("a-b"), Just("b"), Just("c"), Just("z9")];
    let services = prop::collection::btree_map(names.prop_map(str::to_owned), entry(), 0..6);
    services.prop_map(|services| Index { environment: ENVIRONMENT.to_owned(), services })
}

/// An index, and what became of it in a commit.
fn change() -> impl Strategy<Value = (Index, Index)> {
    (index(), index(), prop::collection::vec(any::<bool>(), 6)).prop_map(|(before, other, stays)| {
        let mut services = BTreeMap::new();
        let mut stays = stays.into_iter();
        let names =
            before.services.keys().chain(other.services.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
        for name in names {
            let of = if stays.next().unwrap_or(true) { &before } else { &other };
            services.extend(of.services.get(&name).map(|entry| (name, entry.clone())));
        }
        (before, Index { environment: ENVIRONMENT.to_owned(), services })
    })
}

fn same(text: &[u8], known: &Index) {
    let alone = Index::parse(text, ENVIRONMENT);
    let over = Index::parse_over(text, ENVIRONMENT, Some(known));
    match (alone, over) {
        (Ok(alone), Ok((over, root))) => {
            assert_eq!(over, alone);
            assert_eq!(root, alone.root());
        }
        (Err(alone), Err(over)) => assert_eq!(format!("{over:?}"), format!("{alone:?}")),
        (alone, over) => panic!("alone {alone:?}, over another {over:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_was_written_is_read((before, after) in change()) {
        same(after.to_json().as_bytes(), &before);
    }

    #[test]
    fn a_text_that_was_edited_is_read_or_refused_alike((before, after) in change(), at in any::<prop::sample::Index>(), with in prop_oneof![
        Just(""), Just(" "), Just("\n"), Just("\""), Just("1"), Just("a"), Just(","), Just("}"), Just("\\u0061"), Just("\"wave\": 1,"),
    ], length in 0..3_usize) {
        let text = after.to_json();
        let mut at = at.index(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        let mut end = (at + length).min(text.len());
        while !text.is_char_boundary(end) { end += 1; }
        let edited = format!("{}{with}{}", &text[..at], &text[end..]);
        same(edited.as_bytes(), &before);
    }

    #[test]
    fn a_text_in_another_style_is_read_alike((before, after) in change()) {
        let value: serde_json::Value = serde_json::from_str(&after.to_json()).expect("JSON");
        same(value.to_string().as_bytes(), &before);
        same(after.to_json().replace("\n    \"", "\n  \"").as_bytes(), &before);
    }

    #[test]
    fn two_entries_that_changed_places_are_read_alike(before in index()) {
        let text = before.to_json();
        let parts: Vec<&str> = text.splitn(3, ",\n    \"").collect();
        if let [head, second, rest] = parts[..] {
            let first = head.split_once("    \"").map(|(_, first)| first).unwrap_or_default();
            same(format!("{}    \"{second},\n    \"{first},\n    \"{rest}", &head[..head.len() - first.len() - 5]).as_bytes(), &before);
            same(format!("{head},\n    \"{first},\n    \"{second},\n    \"{rest}").as_bytes(), &before);
        }
    }
}
