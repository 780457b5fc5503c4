//! The pages of runs: each unit is a run's or free, and what is said of a page is so.

use super::Walk;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::shard::locked::Locked;
use crate::shard::storage::runs::{next_run, unit_of};
use crate::slab::runs::RunPage;
use crate::stats::Audit;

impl Locked<'_> {
    pub(super) fn audit_runs(
        &self,
        page_no: usize,
        walk: &mut Walk,
        audit: &mut Audit,
    ) -> Result<(), String> {
        let region = self.region;
        let geometry = &region.geometry;
        let meta = region.pages().get(page_no);
        let bits = RunPage::new(&region.arena, geometry, page_no);
        let units = geometry.classes.units_per_page();
        let (mut at, mut live, mut held) = (0, 0, 0);
        let mut used = geometry.classes.bitmap_units();
        while let Some((word, end)) = next_run(region, page_no, at) {
            let chunk = geometry.chunk_at(word);
            let view = View::known(region, chunk);
            ensure!(
                view.header.kind() == Kind::Continuation && view.header.value_len > 0,
                "page {page_no} of runs: {:?} in use",
                view.header
            );
            let start = unit_of(geometry, page_no, word);
            ensure!(
                end <= units && bits.is_in_use(start, end - start),
                "page {page_no} of runs: {start} to {end} is not a run"
            );
            used += end - start;
            live += 1;
            held += u16::from(view.header.is_held());
            walk.pieces.insert(chunk.granule());
            audit.used_bytes += view.header.value_at() + usize::from(view.header.value_len);
            at = end;
        }
        ensure!(
            (live, held, used) == (meta.live, meta.held, usize::from(meta.carved))
                && used == bits.used()
                && live > 0,
            "page {page_no} of runs: {live} live, {held} held, {used} units, {meta:?}"
        );
        ensure!(
            bits.longest() == usize::from(meta.free_head),
            "page {page_no} of runs: the longest is {}, {meta:?}",
            bits.longest()
        );
        ensure!(
            self.slab.lists_run_page(region, page_no),
            "page {page_no} of runs is not on its list: {meta:?}"
        );
        walk.free_units += units - used;
        audit.free_chunks += units - used;
        audit.free_bytes += (units - used) * geometry.classes.unit_bytes();
        Ok(())
    }

    /// A page of runs that a flush left: only what is held counts.
    pub(super) fn audit_stale_runs(&self, page_no: usize, walk: &mut Walk) -> Result<(), String> {
        let region = self.region;
        let meta = region.pages().get(page_no);
        let (mut at, mut held) = (0, 0);
        while let Some((word, end)) = next_run(region, page_no, at) {
            let chunk = region.geometry.chunk_at(word);
            if View::known(region, chunk).header.is_held() {
                held += 1;
                walk.pieces.insert(chunk.granule());
            }
            at = end;
        }
        ensure!(
            held == meta.held,
            "stale page {page_no} of runs: {held} are held, {meta:?}"
        );
        Ok(())
    }
}
