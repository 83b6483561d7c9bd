//! The pool with its tables, its index and its directory.

use parkade_model::TokenId;

use super::*;
use crate::kv_groups::KvGroups;
use crate::request::CacheScope;

fn everybody() -> CacheScope {
    CacheScope::default()
}

/// For layers that all read all.
fn pool(blocks: usize, block_len: usize, prefix_cache: bool) -> BlockPool {
    BlockPool::new(blocks, KvGroups::new(&[None], block_len), prefix_cache)
}

fn hit(places: usize, idle: usize) -> Hit {
    Hit { places, idle, held: places - idle, held_in_windows: 0 }
}

fn filled(pool: &mut BlockPool, tokens: &[TokenId]) -> BlockTable {
    filled_in(pool, &everybody(), tokens)
}

fn filled_in(pool: &mut BlockPool, scope: &CacheScope, tokens: &[TokenId]) -> BlockTable {
    let mut table = BlockTable::new();
    let cached = pool.attach(&mut table, scope, tokens, tokens.len());
    let more = pool.groups().places(tokens.len()) - cached / pool.block_len();
    pool.grow(&mut table, more).unwrap();
    pool.record(&mut table, scope, tokens);
    table
}

#[test]
fn scopes_share_nothing_while_it_is_held_nor_when_it_is_cached() {
    let mut pool = pool(12, 2, true);
    let (ada, bob) = (everybody().within("key", "ada"), everybody().within("key", "bob"));
    let text = [1, 2, 3, 4];
    let hers = filled_in(&mut pool, &ada, &text);
    for other in [&bob, &everybody(), &ada.within("salt", "s"), &everybody().within("group", "ada")] {
        assert_eq!(pool.look_up(other, &text, 4), Hit::default(), "{other:?}");
        assert_eq!(pool.directory().unwrap().look_up(other, &text, 4), Hit::default(), "{other:?}");
    }
    let his = filled_in(&mut pool, &bob, &text);
    assert!(hers.iter().all(|block| his.iter().all(|other| other != block)), "a block is in both tables");
    assert_eq!(pool.counts().used, 4);
    pool.audit([&hers, &his]);
    pool.release(hers);
    assert_eq!(pool.look_up(&ada, &text, 4), hit(2, 2));
    assert_eq!(pool.look_up(&bob, &text, 4), hit(2, 0));
    pool.release(his);
    pool.audit([]);
}

#[test]
fn a_prefix_is_found_again_and_shared() {
    let mut pool = pool(8, 2, true);
    let first = filled(&mut pool, &[1, 2, 3, 4, 5]);
    assert_eq!(pool.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), hit(2, 0));
    assert_eq!(pool.look_up(&everybody(), &[1, 2, 3, 4], 3), hit(1, 0));
    assert_eq!(pool.look_up(&everybody(), &[3, 4, 1, 2], 4), Hit::default());
    let directory = pool.directory().unwrap();
    assert_eq!(directory.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), hit(2, 0));
    assert_eq!(directory.look_up(&everybody(), &[3, 4, 1, 2], 4), Hit::default());
    pool.release(first);
    assert_eq!(pool.counts(), BlockCounts { total: 8, used: 0, cached: 2, free: 6 });
    assert_eq!(directory.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), hit(2, 2));
    let second = filled(&mut pool, &[1, 2, 3, 4, 9, 9]);
    assert_eq!(pool.counts().used, 3);
    pool.audit([&second]);
    pool.release(second);
    pool.audit([]);
}

#[test]
fn what_somebody_waited_for_outlasts_the_rest_but_not_for_ever() {
    let mut pool = pool(4, 1, true);
    let mut table = BlockTable::new();
    table.set_outlasts(true);
    pool.grow(&mut table, 2).unwrap();
    pool.record(&mut table, &everybody(), &[1, 2]);
    pool.release(table);
    let mut rounds = 0;
    while pool.look_up(&everybody(), &[1, 2], 2) == hit(2, 2) {
        let first = 100 + 2 * rounds;
        let batch = filled(&mut pool, &[first, first + 1]);
        pool.release(batch);
        rounds += 1;
    }
    // Each gives two of the four blocks back.
    assert!((14..=18).contains(&rounds), "{rounds}");
    pool.audit([]);
}

#[test]
fn the_least_recently_used_text_is_given_up_first_and_its_end_before_its_beginning() {
    let mut pool = pool(4, 1, true);
    let old = filled(&mut pool, &[1, 2]);
    pool.release(old);
    let young = filled(&mut pool, &[8, 9]);
    pool.release(young);
    let mut table = BlockTable::new();
    pool.grow(&mut table, 1).unwrap();
    assert_eq!((pool.look_up(&everybody(), &[1, 2], 2).places, pool.look_up(&everybody(), &[8, 9], 2).places), (1, 2));
    pool.grow(&mut table, 2).unwrap();
    assert_eq!((pool.look_up(&everybody(), &[1, 2], 2).places, pool.look_up(&everybody(), &[8, 9], 2).places), (0, 1));
    let directory = pool.directory().unwrap();
    assert_eq!(
        (directory.look_up(&everybody(), &[1, 2], 2).places, directory.look_up(&everybody(), &[8, 9], 2).places),
        (0, 1)
    );
    assert_eq!(directory.len(), 1, "what is given up is forgotten here too");
    pool.audit([&table]);
    assert_eq!(pool.grow(&mut table, 2), Err(OutOfBlocks));
    assert_eq!(table.len(), 3, "growth that fails takes nothing");
    pool.release(table);
}

#[test]
fn equal_texts_end_in_one_block() {
    let mut pool = pool(8, 2, true);
    let (mut one, mut two) = (BlockTable::new(), BlockTable::new());
    pool.grow(&mut one, 2).unwrap();
    pool.grow(&mut two, 2).unwrap();
    pool.record(&mut one, &everybody(), &[1, 2, 3, 4]);
    pool.record(&mut two, &everybody(), &[1, 2, 3, 4]);
    assert_eq!(one.as_raw(), two.as_raw());
    assert_eq!(pool.counts().used, 2);
    pool.audit([&one, &two]);
    pool.release(one);
    pool.release(two);
}

#[test]
fn a_shared_partial_block_is_copied_by_all_writers_but_the_last() {
    let mut pool = pool(8, 4, true);
    let mut one = filled(&mut pool, &[1, 2, 3, 4, 5]);
    let mut two = pool.share(&one, 2);
    assert_eq!(pool.shared(&one, 5), 1);
    let copy = pool.make_own(&mut two, 5).unwrap()[0];
    assert_eq!((copy.from.0, copy.to.0), (one.as_raw()[1], two.as_raw()[1]));
    assert_eq!(pool.make_own(&mut one, 5), Ok(vec![]));
    assert_eq!(one.as_raw()[0], two.as_raw()[0]);
    pool.audit([&one, &two]);
    pool.release(one);
    pool.release(two);
    pool.audit([]);
}

#[test]
fn without_a_prefix_cache_every_block_comes_back_free() {
    let mut pool = pool(3, 2, false);
    let table = filled(&mut pool, &[1, 2, 3, 4]);
    assert_eq!(pool.look_up(&everybody(), &[1, 2], 2), Hit::default());
    pool.release(table);
    assert_eq!(pool.counts().free, 3);
}
