//! Objects to be found among many more.
//!
//! Which services have to do with a few objects is asked of all objects of an environment, of which nearly all have nothing to do with
//! them: that is told by a few bits of their names. Knows nothing of services. Invariant: what is sought is always found, and nothing else.

use std::collections::BTreeSet;

use manifest::ObjectRef;

/// A set that quickly says no.
pub struct Sought<'a> {
    ids: BTreeSet<&'a ObjectRef>,
    /// A bit for each place that a name of them falls on; a power of two of bits.
    marks: Vec<u64>,
}

/// Places for each object: of what is not sought, as small a share is looked up.
const PLACES: usize = 32;
const BITS: usize = u64::BITS as usize;

impl<'a> FromIterator<&'a ObjectRef> for Sought<'a> {
    fn from_iter<I: IntoIterator<Item = &'a ObjectRef>>(ids: I) -> Self {
        let ids: BTreeSet<&ObjectRef> = ids.into_iter().collect();
        let places = (PLACES * ids.len()).next_power_of_two().max(BITS);
        let mut marks = vec![0; places / BITS];
        for id in &ids {
            let place = place(id, places);
            marks[place / BITS] |= 1 << (place % BITS);
        }
        Sought { ids, marks }
    }
}

impl Sought<'_> {
    /// Tells whether an object is among them.
    pub fn contains(&self, id: &ObjectRef) -> bool {
        self.is_marked(id) && self.ids.contains(id)
    }

    fn is_marked(&self, id: &ObjectRef) -> bool {
        let place = place(id, self.marks.len() * BITS);
        self.marks[place / BITS] >> (place % BITS) & 1 == 1
    }
}

/// Returns on which of so many places a name falls: by its end, where names that are made in a row differ.
fn place(id: &ObjectRef, places: usize) -> usize {
    let name = id.name.as_bytes();
    let end = &name[name.len().saturating_sub(8)..];
    let number = end.iter().fold(name.len() as u64, |number, byte| number << 8 | u64::from(*byte));
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(spread).unwrap_or_default() & (places - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, name: &str) -> ObjectRef {
        ObjectRef { group: "".into(), kind: kind.into(), namespace: "n".into(), name: name.into() }
    }

    #[test]
    fn what_is_sought_is_found_and_nothing_else() {
        let all: Vec<ObjectRef> = (0..3_000).map(|number| id("ConfigMap", &format!("service-{number:05}"))).collect();
        for step in [1, 2, 7, 1_000, 5_000] {
            let sought: Sought<'_> = all.iter().step_by(step).collect();
            for (number, id) in all.iter().enumerate() {
                assert_eq!(sought.contains(id), number % step == 0, "{id} of every {step}th");
            }
            assert!(!sought.contains(&id("Secret", "service-00000")), "another kind of the same name");
        }
        let short = [id("ConfigMap", ""), id("ConfigMap", "a")];
        let sought: Sought<'_> = short.iter().collect();
        assert!(short.iter().all(|id| sought.contains(id)) && !sought.contains(&id("ConfigMap", "b")));
        let none: Sought<'_> = [].into_iter().collect();
        assert!(!none.contains(&id("ConfigMap", "a")));
    }

    #[test]
    fn few_of_what_is_not_sought_are_looked_up() {
        let all: Vec<ObjectRef> = (0..20_000).map(|number| id("ConfigMap", &format!("service-{number:05}"))).collect();
        let sought: Sought<'_> = all.iter().take(4).collect();
        assert!(all.iter().skip(4).filter(|id| sought.is_marked(id)).count() < 2_000);
    }
}
