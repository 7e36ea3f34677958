//! The records of `syncd` as somebody wrote them: the root, and records and parts of two services.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Hash, Index};
use syncd::cluster::StateObject;
use syncd::config::Settings;
use syncd::desired::{Desired, Source};
use syncd::live::Live;
use syncd::plan::{Policy, Scope, plan, select, verify};
use syncd::repo::{CommitInfo, Revision};
use syncd::report::{Suspended, Trigger};
use syncd::state::decode;

/// Where each part of an input stands.
const PLACES: [(&str, &str); 5] = [
    ("syncd-staging", "root.json"),
    ("syncd-staging-app1", "record.json"),
    ("syncd-staging-app1.1-1", "part.json"),
    ("syncd-staging-app1.1-2", "part.json"),
    ("syncd-staging-app2", "record.json"),
];

/// What is read is read the same again, and nothing is deleted for it that nobody has looked at.
pub fn state(bytes: &[u8]) {
    let objects = || {
        let texts: Vec<String> =
            super::parts(bytes).into_iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        // The search cannot guess hashes: `@1` and `@2` stand for those of the parts.
        let hash = |number: usize| Hash::of(texts.get(number).map(String::as_bytes).unwrap_or_default()).to_string();
        let texts = texts
            .iter()
            .map(|text| text.replace("\"@1\"", &format!("{:?}", hash(2))).replace("\"@2\"", &format!("{:?}", hash(3))));
        let object = |((name, key), text): (&(&str, &str), String)| StateObject {
            name: (*name).to_owned(),
            labels: BTreeMap::new(),
            data: BTreeMap::from([((*key).to_owned(), text)]),
            resource_version: Some("1".to_owned()),
        };
        PLACES.iter().zip(texts).filter(|(_, text)| !text.is_empty()).map(object).collect::<Vec<_>>()
    };
    let Ok(state) = decode(objects(), "staging") else { return };
    assert_eq!(decode(objects(), "staging").as_ref(), Ok(&state));
    let held = state.objects();
    assert!(held.len() <= state.records().map(|(_, record)| record.held.len()).sum());

    let index = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
    let (revision, commit) = (Revision("0".repeat(40)), CommitInfo::default());
    let source = Source::new(revision, commit, index);
    let desired = Desired { source, services: BTreeMap::new() };
    let (live, settings) = (Live::default(), Settings::new("staging", "syncd"));
    let suspended = Suspended::default();
    let selection = select(&desired.source.index, &state, &live, &BTreeSet::new(), &suspended, Scope::Full);
    let policy = Policy {
        namespace: settings.namespace,
        fuse: settings.fuse,
        approved: BTreeSet::new(),
        protected: settings.protected,
        adopt: BTreeSet::new(),
        suspended,
        trigger: Trigger::Full,
    };
    let plan = plan(&desired, &state, &live, &selection, &policy);
    assert_eq!(plan.deletes().count(), 0, "{plan}");
    assert_eq!(verify::verify(&plan, &desired, &state, &live, &policy), Ok(()), "{plan}");
}
