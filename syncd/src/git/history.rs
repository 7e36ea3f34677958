//! Whether a commit came after another one, seen from as little history as possible.
//!
//! The local copy holds the last commit only. Its parents are named in it, which answers the usual question - one commit or one merge was
//! pushed - without asking anybody; else more is fetched, in few and growing steps. Knows no repository: parents are asked for. Invariant:
//! "not there" is said only when every line of ancestors was followed to its beginning.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;

use gix::ObjectId;

/// What a walk through the ancestors found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// The goal is among them.
    Found,
    /// It is not, and all of them were seen.
    NotThere,
    /// It was not seen, but not all of them are here, or near enough.
    Cut,
}

/// Returns how deep to fetch, one depth after the other, none deeper than `generations`.
pub(super) fn depths(generations: usize) -> impl Iterator<Item = NonZeroU32> {
    let limit = u32::try_from(generations).unwrap_or(u32::MAX);
    let steps = [16, 128].into_iter().filter(move |depth| *depth < limit).chain([limit]);
    // One more than the generations between: the commits at both ends count.
    steps.filter_map(|depth| NonZeroU32::new(depth.saturating_add(1)))
}

/// Looks for `goal` among `start` and its ancestors, at most `generations` back. `parents` returns nothing for a commit that is not here.
pub(super) fn search<E>(
    start: ObjectId,
    goal: ObjectId,
    generations: usize,
    mut parents: impl FnMut(ObjectId) -> Result<Option<Vec<ObjectId>>, E>,
) -> Result<Search, E> {
    let mut seen = BTreeSet::from([start]);
    let mut open = VecDeque::from([(start, 0)]);
    let mut is_cut = false;
    while let Some((commit, generation)) = open.pop_front() {
        if commit == goal {
            return Ok(Search::Found);
        }
        match parents(commit)? {
            Some(parents) if generation < generations => {
                open.extend(parents.into_iter().filter(|parent| seen.insert(*parent)).map(|p| (p, generation + 1)));
            }
            Some(parents) => is_cut |= !parents.is_empty(),
            None => is_cut = true,
        }
    }
    Ok(if is_cut { Search::Cut } else { Search::NotThere })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_hex(format!("{number:040x}").as_bytes()).expect("40 digits")
    }

    fn found(history: &[(u8, &[u8])], start: u8, goal: u8, generations: usize) -> Search {
        let history: BTreeMap<ObjectId, Vec<ObjectId>> =
            history.iter().map(|(commit, parents)| (id(*commit), parents.iter().copied().map(id).collect())).collect();
        let parents = |commit| Ok::<_, ()>(history.get(&commit).cloned());
        search(id(start), id(goal), generations, parents).expect("nothing fails")
    }

    #[test]
    fn an_ancestor_is_found_as_soon_as_its_name_is_read() {
        // 5 is a merge of 4 and 9; nothing below is here.
        let shallow: &[(u8, &[u8])] = &[(5, &[4, 9])];
        assert_eq!(found(shallow, 5, 4, 100), Search::Found);
        assert_eq!(found(shallow, 5, 9, 100), Search::Found);
        assert_eq!(found(shallow, 5, 5, 100), Search::Found);
        assert_eq!(found(shallow, 5, 3, 100), Search::Cut);
    }

    #[test]
    fn not_there_is_said_only_of_a_whole_history() {
        let whole: &[(u8, &[u8])] = &[(3, &[2]), (2, &[1]), (1, &[])];
        assert_eq!(found(whole, 3, 1, 100), Search::Found);
        assert_eq!(found(whole, 3, 7, 100), Search::NotThere);
        assert_eq!(found(whole, 3, 7, 2), Search::NotThere);
        assert_eq!(found(whole, 3, 7, 1), Search::Cut, "the limit came before the end");
        assert_eq!(found(whole, 3, 1, 1), Search::Cut);
        let half: &[(u8, &[u8])] = &[(3, &[2, 8]), (2, &[1]), (1, &[])];
        assert_eq!(found(half, 3, 7, 100), Search::Cut, "one of two lines is not here");
    }

    #[test]
    fn depths_grow_to_the_limit() {
        let of = |generations| depths(generations).map(NonZeroU32::get).collect::<Vec<_>>();
        assert_eq!(of(1_000), [17, 129, 1_001]);
        assert_eq!(of(16), [17]);
        assert_eq!(of(1), [2]);
    }
}
