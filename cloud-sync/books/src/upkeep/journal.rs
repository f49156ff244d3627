//! Whether a site's journal, as its batches have it, is whole from its first entry to its head, and the site's own.

use crate::store::{
    StoreError, Tx, journal,
    sites::{self, Site},
};
use domain::{
    ids::SiteId,
    journal::{Hash, Head},
};
use protocol::frame::Batch;

/// Batches that are in memory at once.
const PAGE: u64 = 8;

/// What following a journal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// How many batches were followed.
    pub batches: u64,
    /// The place up to which it is whole.
    pub head: Head,
    /// Why it is not followed further, if that is not where it must end.
    pub fault: Option<String>,
}

/// Follows the hashes of all batches of the branch that a site is on, looks who signed each, and compares the end with the
/// head. `through` is a place that somebody wrote down elsewhere: the journal must go through it.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Broken`] where there is no such site.
pub fn verify(tx: &mut dyn Tx, id: &SiteId, through: Option<Head>) -> Result<Followed, StoreError> {
    let site = sites::find(tx, id)?;
    let site = site.ok_or_else(|| StoreError::Broken(format!("there is no site {id}")))?;
    let mut followed = Followed {
        batches: 0,
        head: site.begins,
        fault: None,
    };
    let mut passed = through.filter(|through| *through != site.begins);
    loop {
        let page = match journal::after(tx, id, site.branch, followed.head.seq, PAGE) {
            // A row that is no batch any more; where the database itself does not answer, that is no word on the journal.
            Err(StoreError::Broken(why)) => Err(why),
            page => Ok(page?),
        };
        let page = match page {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(why) => {
                followed.fault = Some(format!("after entry {}: {why}", followed.head.seq));
                return Ok(followed);
            }
        };
        for batch in &page {
            match follow(&site, followed.head, batch, &mut passed) {
                Ok(head) => followed.head = head,
                Err(why) => {
                    followed.fault = Some(why);
                    return Ok(followed);
                }
            }
            followed.batches += 1;
        }
    }
    followed.fault = if followed.head != site.head {
        Some(format!(
            "it ends at {}, and the site's head is {}",
            followed.head, site.head
        ))
    } else {
        passed.map(|place| format!("it ends at {} and does not reach {place}", followed.head))
    };
    Ok(followed)
}

/// The place after a batch that follows on `head`. `passed` is taken when it is gone through.
fn follow(site: &Site, head: Head, batch: &Batch, passed: &mut Option<Head>) -> Result<Head, String> {
    let (first, last) = (batch.first, batch.last());
    let of_batch = |why: String| format!("the batch of the entries {first} to {last}: {why}");
    if first != head.seq + 1 {
        return Err(format!(
            "entries {} to {} are missing",
            head.seq + 1,
            first.saturating_sub(1)
        ));
    }
    if batch.prev != head.hash {
        return Err(of_batch(format!(
            "it goes on from {}, and entry {} has {}",
            batch.prev, head.seq, head.hash
        )));
    }
    let unpacked = batch.unpack().map_err(|error| of_batch(error.to_string()))?;
    let end = unpacked.follow().map_err(|error| of_batch(error.to_string()))?;
    // Which key counted where depends on the branch that was followed then.
    batch
        .verify(&site.id, &unpacked, &sites::every_key(&site.keys))
        .map_err(|error| of_batch(error.to_string()))?;
    let reached = passed.take_if(|place| place.seq <= end.seq);
    if let Some(place) = reached {
        let hash: Option<Hash> = unpacked
            .entries()
            .find(|(seq, ..)| *seq == place.seq)
            .map(|(_, hash, _)| hash);
        if hash != Some(place.hash) {
            let has = hash.map_or("another".to_owned(), |hash| hash.to_string());
            return Err(format!(
                "it does not go through {place}: entry {} has the hash {has}",
                place.seq
            ));
        }
    }
    Ok(end)
}
